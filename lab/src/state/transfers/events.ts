/** Events of image transfers. */
import type { Engine } from '../core.ts';
import { EVENT_CODES } from '../events.ts';
import type { TransferRow } from '../rows.ts';

const TEXTS: Readonly<Record<number, string>> = {
  [EVENT_CODES.transferInitiated]: 'Image transfer was initiated',
  [EVENT_CODES.transferSucceeded]: 'Image transfer succeeded',
  [EVENT_CODES.transferCancelled]: 'Image transfer was cancelled',
  [EVENT_CODES.transferFailed]: 'Image transfer failed',
  [EVENT_CODES.ticketMissing]: 'The ticket of the image transfer is missing',
  [EVENT_CODES.ticketCreateFailed]: 'The host could not create the ticket of the image transfer',
  [EVENT_CODES.uploadPausedOnTimeout]: 'Upload was paused due to inactivity',
  [EVENT_CODES.downloadCancelledOnTimeout]: 'Download was cancelled due to inactivity',
  [EVENT_CODES.transferResumed]: 'Image transfer was resumed',
  [EVENT_CODES.transferCancelledByPolicy]: 'Image transfer was cancelled due to inactivity',
  [EVENT_CODES.transferPausedByPolicy]: 'Image transfer was paused due to inactivity',
};

export function transferEvent(engine: Engine, transfer: TransferRow, code: number): void {
  const diskName = engine.disks.get(transfer.diskId)?.name ?? transfer.diskId;
  engine.log.add({
    code,
    description: `${TEXTS[code] ?? 'Image transfer event'} (disk ${diskName}, transfer ${transfer.id}).`,
    correlationId: transfer.correlationId,
    vmId: engine.vmOfDisk(transfer.diskId)?.id,
  });
}
