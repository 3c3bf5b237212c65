/** Finds open downloads of a VM's disks on the engine, and ends those of a backup of ours. */
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { endTransfer, isEnding } from '../../ovirt/lifecycle/transferEnd.ts';

/**
 * Ids of open downloads of these disks, except those in `spared`. Other products may read old
 * snapshots of the same disks.
 */
export async function openDownloads(
  engine: EngineApi,
  diskIds: ReadonlySet<string>,
  spared: ReadonlySet<string>,
): Promise<string[]> {
  const transfers = await engine.transfers();
  return transfers
    .filter((transfer) => transfer.direction === 'download' && !isEnding(transfer))
    .filter(({ id, diskId = '' }) => diskIds.has(diskId) && !spared.has(id))
    .map(({ id }) => id);
}

/**
 * Cancels downloads that keep a backup of ours from ending: downloads of its disks that were opened
 * after it started. `spared` holds the ids of older downloads.
 */
export async function cancelDownloads(
  engine: EngineApi,
  diskIds: ReadonlySet<string>,
  spared: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  for (const transferId of await openDownloads(engine, diskIds, spared)) {
    await endTransfer(engine, transferId, 'cancel', signal);
  }
}
