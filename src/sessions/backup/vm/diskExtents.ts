/** Extents of a disk, asked of the host before the first byte is read. */
import { BackupError } from '../../../core/errors.ts';
import { sessionMessage } from '../../../core/messages.ts';
import type { Extent } from '../../../flow/records.ts';
import { retryData } from '../../../ovirt/imageio/dataRetry.ts';
import type { DiskTransfer } from '../../../ovirt/lifecycle/transfer.ts';
import type { SessionLog } from '../../shared/sessionLog.ts';
import type { PlannedDisk } from '../plannedDisk.ts';

export interface ExtentsContext {
  readonly session: SessionLog;
  readonly blockRetryMs: number;
  readonly signal: AbortSignal;
}

/** A disk as it will be read. */
export interface MappedDisk {
  readonly planned: PlannedDisk;
  readonly extents: Iterable<Extent>;
}

/** Asks for the change map or the zero map. A refused change map makes the disk a compared one. */
export async function fetchExtents(
  disk: PlannedDisk,
  transfer: DiskTransfer,
  context: ExtentsContext,
): Promise<MappedDisk> {
  if (disk.mode !== 'incremental') {
    return { planned: disk, extents: await zeroExtents(disk, transfer, context) };
  }
  try {
    return { planned: disk, extents: await askExtents('dirty', transfer, context) };
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'TRANSFER_NO_CHANGE_MAP') throw error;
  }
  const { alias, diskId: id } = disk;
  context.session.note(sessionMessage('CBT-107', { alias, id }));
  return await asCompared(disk, 'the change map was refused', transfer, context);
}

/** The same disk, read whole and compared with the parent point. */
export async function asCompared(
  disk: PlannedDisk,
  reason: string,
  transfer: DiskTransfer,
  context: ExtentsContext,
): Promise<MappedDisk> {
  const extents = await zeroExtents(disk, transfer, context);
  return { planned: { ...disk, mode: 'compare', reason }, extents };
}

/** Old servers know no extents: everything is data then. */
async function zeroExtents(
  disk: PlannedDisk,
  transfer: DiskTransfer,
  context: ExtentsContext,
): Promise<Iterable<Extent>> {
  if (transfer.client.features.has('extents')) return await askExtents('zero', transfer, context);
  return [{ offsetBytes: 0, lengthBytes: disk.sizeBytes, zero: false }];
}

async function askExtents(
  map: 'zero' | 'dirty',
  transfer: DiskTransfer,
  { blockRetryMs, signal }: ExtentsContext,
): Promise<Iterable<Extent>> {
  const retry = { retryDelayMs: blockRetryMs, signal, isSlow: true };
  return await retryData(retry, () => transfer.use((client) => client.extents(map, signal)));
}
