/** All REST calls of the engine, and the facts of a request that faults are matched with. */
import { attachmentRoutes } from './attachments.ts';
import { forceBackupPhase } from '../../state/backups/machine.ts';
import { backupRoutes } from './backups.ts';
import { readBody } from '../http/body.ts';
import { transferBody } from '../http/bodyTypes.ts';
import type { Engine } from '../../state/core.ts';
import { diskRoutes } from './disks.ts';
import { eventRoutes } from './events.ts';
import { apiSegments } from '../http/engineHttp.ts';
import type { Route } from '../http/router.ts';
import type { BackupRow, TransferRow } from '../../state/rows.ts';
import { nicRoutes } from './nics.ts';
import { snapshotRoutes } from './snapshots.ts';
import { systemRoutes } from './system.ts';
import { forceTransferPhase } from '../../state/transfers/machine.ts';
import { transferRoutes } from './transfers.ts';
import { vmRoutes } from './vms.ts';
import type { LabHttpRequest } from '../../http/server.ts';

export const ENGINE_ROUTES: readonly Route[] = [
  ...systemRoutes,
  ...vmRoutes,
  ...attachmentRoutes,
  ...nicRoutes,
  ...diskRoutes,
  ...backupRoutes,
  ...transferRoutes,
  ...snapshotRoutes,
  ...eventRoutes,
];

function backupIn(engine: Engine, segments: readonly string[]): BackupRow | undefined {
  return segments[2] === 'backups' ? engine.backups.get(segments[3] ?? '') : undefined;
}

function transferIn(engine: Engine, segments: readonly string[]): TransferRow | undefined {
  return segments[0] === 'imagetransfers' ? engine.transfers.get(segments[1] ?? '') : undefined;
}

/** Id of the disk that a new transfer is for; empty when the body is not valid. */
function wantedDiskId(body: Buffer): { readonly diskId?: string } {
  try {
    const { disk, image } = readBody(body.toString('utf8'), transferBody);
    const diskId = disk?.id ?? image?.id;
    return diskId === undefined ? {} : { diskId };
  } catch {
    return {};
  }
}

/**
 * Facts for the matching of faults: the phase of the backup or transfer in the path, and the disk
 * of the transfer.
 */
export function describeRequest(
  engine: Engine,
  { method, path, body }: Pick<LabHttpRequest, 'method' | 'path' | 'body'>,
): { readonly phase?: string; readonly diskId?: string } {
  const segments = apiSegments(path) ?? [];
  const isNewTransfer = method === 'POST' && segments.join('/') === 'imagetransfers';
  if (isNewTransfer) return wantedDiskId(body);
  const transfer = transferIn(engine, segments);
  if (transfer) return { phase: transfer.phase, diskId: transfer.diskId };
  const backup = backupIn(engine, segments);
  return backup ? { phase: backup.phase } : {};
}

/** Moves the backup or transfer in the path to a phase. Does nothing for other paths. */
export function forcePhase(engine: Engine, path: string, phase: string): void {
  const segments = apiSegments(path) ?? [];
  const transfer = transferIn(engine, segments);
  if (transfer) return forceTransferPhase(engine, transfer, phase);
  const backup = backupIn(engine, segments);
  if (backup) forceBackupPhase(engine, backup, phase);
}
