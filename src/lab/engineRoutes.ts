/** All REST calls of the engine, and what a request tells the fault plan. */
import { attachmentRoutes } from './engineAttachmentRoutes.ts';
import { forceBackupPhase } from './engineBackupMachine.ts';
import { backupRoutes } from './engineBackupRoutes.ts';
import { readBody } from './engineBody.ts';
import { transferBody } from './engineBodyTypes.ts';
import type { Engine } from './engineCore.ts';
import { diskRoutes } from './engineDiskRoutes.ts';
import { eventRoutes } from './engineEventRoutes.ts';
import { apiSegments } from './engineHttp.ts';
import type { Route } from './engineRouter.ts';
import type { BackupRow, TransferRow } from './engineRows.ts';
import { snapshotRoutes } from './engineSnapshotRoutes.ts';
import { systemRoutes } from './engineSystemRoutes.ts';
import { forceTransferPhase } from './engineTransferMachine.ts';
import { transferRoutes } from './engineTransferRoutes.ts';
import { vmRoutes } from './engineVmRoutes.ts';
import type { LabHttpRequest } from './labHttp.ts';

export const ENGINE_ROUTES: readonly Route[] = [
  ...systemRoutes,
  ...vmRoutes,
  ...attachmentRoutes,
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

/** The disk that a transfer is to be created for. */
function wantedDiskId(body: Buffer): { readonly diskId?: string } {
  try {
    const { disk, image } = readBody(body.toString('utf8'), transferBody);
    const diskId = disk?.id ?? image?.id;
    return diskId === undefined ? {} : { diskId };
  } catch {
    return {};
  }
}

/** Phase of the backup or transfer that a request names, and the disk of the transfer. */
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

/** Moves the backup or transfer that a path names. */
export function forcePhase(engine: Engine, path: string, phase: string): void {
  const segments = apiSegments(path) ?? [];
  const transfer = transferIn(engine, segments);
  if (transfer) return forceTransferPhase(engine, transfer, phase);
  const backup = backupIn(engine, segments);
  if (backup) forceBackupPhase(engine, backup, phase);
}
