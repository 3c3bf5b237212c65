/** Reads the disks of a frozen VM into a container: transfer, extents, pipeline, end of the transfer. */
import { BackupError } from '../core/errors.ts';
import { sessionMessage } from '../core/messages.ts';
import { createTransferDevice } from '../devices/transferDevice.ts';
import { DATA_ATTEMPTS, retryData } from '../ovirt/dataRetry.ts';
import { PartialReadDevice } from '../devices/partialReadDevice.ts';
import { ExtentList } from '../ovirt/extentList.ts';
import type { DiskTransfer } from '../ovirt/transfer.ts';
import type { BlockDevice, Extent } from '../pipeline/blocks.ts';
import { backupDisk, type DiskProgress, type DiskResult } from './backupDisk.ts';
import { PARALLEL_DISKS, type PlannedDisk } from './chainSession.ts';
import type { FrozenVm } from './frozenVm.ts';
import type { ParentChain } from './parentBlocks.ts';
import type { CheckedParent } from './parentPoint.ts';
import type { PointWriter } from './pointWriter.ts';
import { forEachLimited, type RunResources } from './resources.ts';
import type { SessionLog } from './sessionLog.ts';

export interface VmDisksOptions {
  readonly frozen: FrozenVm;
  readonly parent: CheckedParent | undefined;
  /** Has the rest of blocks of which parts are read; undefined reads whole ones. */
  readonly parentChain: ParentChain | undefined;
  readonly target: PointWriter;
  readonly resources: RunResources;
  readonly session: SessionLog;
  readonly blockSizeBytes: number;
  readonly blockRetryMs: number;
  readonly onDiskStart: (progress: DiskProgress) => void;
}

/** A disk that was read, as it was really read. */
export interface ReadDisk {
  readonly planned: PlannedDisk;
  readonly result: DiskResult;
}

/** The engine could not open the change map of a disk, so that this backup cannot be read. */
export class ChangeMapBroken extends Error {
  readonly disk: PlannedDisk;

  constructor(disk: PlannedDisk, cause: unknown) {
    super(`change map of ${disk.alias}`, { cause });
    this.disk = disk;
  }
}

/**
 * Reads all disks, a few at once.
 *
 * @throws {@link ChangeMapBroken} when a disk that was to be read incrementally cannot be opened; what the
 *   transfers, the pipeline and the storage throw
 */
export async function readVmDisks(
  planned: readonly PlannedDisk[],
  options: VmDisksOptions,
): Promise<ReadDisk[]> {
  const { resources } = options;
  const read: ReadDisk[] = [];
  await forEachLimited(planned, PARALLEL_DISKS, async (disk, k) => {
    if (resources.signal.aborted) return;
    // The first failure is the reason; what it stops in other disks is not.
    await readDisk(disk, options).then(
      (one) => (read[k] = one),
      (error: unknown) => resources.stop(error),
    );
  });
  resources.signal.throwIfAborted();
  return read;
}

async function readDisk(wanted: PlannedDisk, options: VmDisksOptions): Promise<ReadDisk> {
  const { frozen, session } = options;
  const offered = offeredMode(wanted, frozen);
  const transfer = await openTransfer(offered, options);
  const startedAtMs = performance.now();
  const { planned, extents } = await fetchExtents(offered, transfer, options);
  const extentsMs = performance.now() - startedAtMs;
  const { diskId, alias, mode, reason } = planned;
  session.log.info({ diskId, alias, mode, reason }, 'disk started');
  const result = await runPipeline(planned, transfer, { ...options, extents, extentsMs });
  await frozen.closeDisk(transfer);
  session.log.info({ diskId, ...result.content.counts }, 'disk done');
  return { planned, result };
}

/** The engine has the last word on whether a disk's changes can be asked for. */
function offeredMode(disk: PlannedDisk, frozen: FrozenVm): PlannedDisk {
  const isOffered = frozen.ready.isIncremental.get(disk.diskId) === true;
  if (disk.mode !== 'incremental' || isOffered) return disk;
  return { ...disk, mode: 'compare', reason: 'the engine offers this disk in full only' };
}

async function openTransfer(disk: PlannedDisk, options: VmDisksOptions): Promise<DiskTransfer> {
  const { frozen, session } = options;
  try {
    return await frozen.openDisk(disk);
  } catch (error) {
    if (!isNotReady(error)) throw error;
    if (disk.mode === 'incremental') throw new ChangeMapBroken(disk, error);
    session.log.warn(
      { diskId: disk.diskId },
      'the transfer could not be started, trying once more',
    );
    return await frozen.openDisk(disk);
  }
}

function isNotReady(error: unknown): boolean {
  return error instanceof BackupError && error.code === 'TRANSFER_NOT_READY';
}

interface Extents {
  readonly planned: PlannedDisk;
  readonly extents: Iterable<Extent>;
}

/** Asks before the first byte is read; a refused change map makes the disk a compared one. */
async function fetchExtents(
  disk: PlannedDisk,
  transfer: DiskTransfer,
  options: VmDisksOptions,
): Promise<Extents> {
  const { signal } = options.resources;
  const { alias, diskId: id } = disk;
  const ask = (context: 'zero' | 'dirty'): Promise<Iterable<Extent>> =>
    retryData({ retryDelayMs: options.blockRetryMs, signal, isSlow: true }, () =>
      transfer.use((client) => client.extents(context, signal)),
    );
  const whole: Extent = { offsetBytes: 0, lengthBytes: disk.sizeBytes, zero: false };
  if (disk.mode === 'incremental') {
    try {
      return { planned: disk, extents: await ask('dirty') };
    } catch (error) {
      if (!(error instanceof BackupError) || error.code !== 'TRANSFER_NO_CHANGE_MAP') throw error;
      options.session.note(sessionMessage('CBT-107', { alias, id }));
    }
  }
  const isDemoted = disk.mode === 'incremental';
  const planned: PlannedDisk = isDemoted
    ? { ...disk, mode: 'compare', reason: 'the change map was refused' }
    : disk;
  // Old servers know no extents: everything is data then.
  if (!transfer.client.features.has('extents')) return { planned, extents: [whole] };
  return { planned, extents: await ask('zero') };
}

/** Only what the engine calls dirty within a block is read then. */
async function createPartialReads(
  { mode, parentDisk }: PlannedDisk,
  device: BlockDevice,
  { parentChain, extents }: VmDisksOptions & { readonly extents: Iterable<Extent> },
): Promise<PartialReadDevice | undefined> {
  if (!parentChain || !parentDisk || mode !== 'incremental') return undefined;
  if (!(extents instanceof ExtentList)) return undefined;
  const blocks = await parentChain.disk(parentDisk);
  const readParent = blocks.readInto.bind(blocks);
  return new PartialReadDevice({ device, extents, readParent });
}

async function runPipeline(
  planned: PlannedDisk,
  transfer: DiskTransfer,
  options: VmDisksOptions & { readonly extents: Iterable<Extent>; readonly extentsMs: number },
): Promise<DiskResult> {
  const { blockSizeBytes, parent, target, resources, extents, extentsMs } = options;
  const { diskId, alias, sizeBytes: virtualSizeBytes, mode, reason, content } = planned;
  const whole = createTransferDevice({ transfer, virtualSizeBytes, extents });
  const partial = await createPartialReads(planned, whole, options);
  const run = {
    task: { diskId, alias, virtualSizeBytes, blockSizeBytes, mode },
    reason,
    device: partial ?? whole,
    readBytes: partial && (() => partial.requestedBytes),
    parent: planned.parentDisk && parent?.disks.get(diskId),
    isIncrement: content === 'increment',
    writer: target.writer,
    readers: transfer.client.connections,
    attempts: DATA_ATTEMPTS,
    retryDelayMs: options.blockRetryMs,
    extentsMs,
  };
  return await backupDisk(run, resources, options.onDiskStart);
}
