/** Reads the disks of a frozen VM into a container: transfer, extents, pipeline, end of the transfer. */
import { BackupError } from '../../../core/errors.ts';
import { sessionMessage } from '../../../core/messages.ts';
import { readsPerRequest } from '../../../devices/readGatherer.ts';
import { createTransferDevice } from '../../../devices/transferDevice.ts';
import { DATA_ATTEMPTS, retryData } from '../../../ovirt/imageio/dataRetry.ts';
import { PartialReadDevice } from '../../../devices/partialReadDevice.ts';
import { ExtentList } from '../../../ovirt/imageio/extentList.ts';
import type { DiskTransfer } from '../../../ovirt/lifecycle/transfer.ts';
import type { Extent } from '../../../flow/records.ts';
import { auditDisk } from '../auditDisk.ts';
import { backupDisk, type DiskResult, type DiskRun } from '../backupDisk.ts';
import type { DiskProgress } from '../../shared/progress.ts';
import { PARALLEL_DISKS, type PlannedDisk } from '../plannedDisk.ts';
import type { FrozenVm } from './engineBackup.ts';
import { withDamageDirty } from '../parent/damagedPlaces.ts';
import type { ParentChain } from '../parent/parentBlocks.ts';
import type { CheckedParent } from '../parent/parentPoint.ts';
import type { PointWriter } from '../../shared/pointWriter.ts';
import type { AuditReport } from '../../shared/report.ts';
import { forEachLimited, type PipelineResources } from '../../shared/pipelineResources.ts';
import type { SessionLog } from '../../shared/sessionLog.ts';

export interface VmDisksOptions {
  readonly frozen: FrozenVm;
  readonly parent: CheckedParent | undefined;
  /** Has the rest of blocks of which parts are read; undefined reads whole ones. */
  readonly parentChain: ParentChain | undefined;
  readonly target: PointWriter;
  readonly resources: PipelineResources;
  readonly session: SessionLog;
  readonly blockSizeBytes: number;
  readonly blockRetryMs: number;
  readonly auditRatio: number | undefined;
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
  const fetched = await fetchExtents(offered, transfer, options);
  const extentsMs = performance.now() - startedAtMs;
  const { planned, extents, audit } = await auditChangeMap(fetched, transfer, options);
  const { diskId, alias, mode, reason } = planned;
  session.log.info({ diskId, alias, mode, reason }, 'disk started');
  const read = await runPipeline(planned, transfer, { ...options, extents, extentsMs });
  const result = audit ? { ...read, report: { ...read.report, audit } } : read;
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
  readonly audit?: AuditReport | undefined;
}

/** Asks before the first byte is read; a refused change map makes the disk a compared one. */
async function fetchExtents(
  disk: PlannedDisk,
  transfer: DiskTransfer,
  options: VmDisksOptions,
): Promise<Extents> {
  const { alias, diskId: id } = disk;
  if (disk.mode === 'incremental') {
    try {
      return { planned: disk, extents: await askExtents('dirty', transfer, options) };
    } catch (error) {
      if (!(error instanceof BackupError) || error.code !== 'TRANSFER_NO_CHANGE_MAP') throw error;
      options.session.note(sessionMessage('CBT-107', { alias, id }));
    }
  }
  const isDemoted = disk.mode === 'incremental';
  const planned: PlannedDisk = isDemoted
    ? { ...disk, mode: 'compare', reason: 'the change map was refused' }
    : disk;
  return { planned, extents: await zeroExtents(disk, transfer, options) };
}

async function askExtents(
  context: 'zero' | 'dirty',
  transfer: DiskTransfer,
  options: VmDisksOptions,
): Promise<Iterable<Extent>> {
  const { signal } = options.resources;
  const retry = { retryDelayMs: options.blockRetryMs, signal, isSlow: true };
  return await retryData(retry, () => transfer.use((client) => client.extents(context, signal)));
}

/** Old servers know no extents: everything is data then. */
async function zeroExtents(
  disk: PlannedDisk,
  transfer: DiskTransfer,
  options: VmDisksOptions,
): Promise<Iterable<Extent>> {
  if (transfer.client.features.has('extents')) return await askExtents('zero', transfer, options);
  return [{ offsetBytes: 0, lengthBytes: disk.sizeBytes, zero: false }];
}

/** What makes a disk incremental is tried out first: a change map that misses changes makes it a compared one. */
async function auditChangeMap(
  fetched: Extents,
  transfer: DiskTransfer,
  options: VmDisksOptions,
): Promise<Extents> {
  const { planned, extents } = fetched;
  const { auditRatio: ratio, blockSizeBytes, parent, session } = options;
  const known = planned.parentDisk && parent?.disks.get(planned.diskId);
  if (planned.mode !== 'incremental' || !known) return fetched;
  const dirty = withDamageDirty(extents, known, blockSizeBytes);
  if (ratio === undefined) return { planned, extents: dirty };
  const run = diskRun(planned, transfer, { ...options, extents: dirty });
  const audit = await auditDisk({ ...run, parent: known }, options.resources, ratio);
  if (audit.mismatchedBlocks === 0) return { planned, extents: dirty, audit };
  const { alias, diskId: id } = planned;
  const [n, m, rp] = [audit.mismatchedBlocks, audit.auditedBlocks, parent?.point.pointId ?? ''];
  session.note(sessionMessage('CBT-108', { n, m, alias, id, rp }));
  const reason = 'the audit of its change map found changes that it misses';
  const whole = await zeroExtents(planned, transfer, options);
  return { planned: { ...planned, mode: 'compare', reason }, extents: whole, audit };
}

type RunOptions = VmDisksOptions & { readonly extents: Iterable<Extent> };

/**
 * The same run, but only what the engine calls dirty within a block is read. A disk with damaged blocks to heal is
 * read as ever: its extents are not those of the engine alone.
 */
async function withPartialReads(
  run: DiskRun,
  { mode, parentDisk }: PlannedDisk,
  { parentChain, extents }: RunOptions,
): Promise<DiskRun> {
  if (!parentChain || !parentDisk || mode !== 'incremental') return run;
  if (!(extents instanceof ExtentList)) return run;
  const blocks = await parentChain.disk(parentDisk);
  const readParent = blocks.readInto.bind(blocks);
  const device = new PartialReadDevice({ device: run.device, extents, readParent });
  return { ...run, device, readBytes: () => device.requestedBytes };
}

async function runPipeline(
  planned: PlannedDisk,
  transfer: DiskTransfer,
  options: RunOptions & { readonly extentsMs: number },
): Promise<DiskResult> {
  const { resources, extentsMs, onDiskStart } = options;
  const run = await withPartialReads(diskRun(planned, transfer, options), planned, options);
  return await backupDisk({ ...run, extentsMs }, resources, onDiskStart);
}

function diskRun(planned: PlannedDisk, transfer: DiskTransfer, options: RunOptions): DiskRun {
  const { blockSizeBytes, parent, target, extents } = options;
  const { diskId, alias, sizeBytes: virtualSizeBytes, mode, reason, content } = planned;
  return {
    task: { diskId, alias, virtualSizeBytes, blockSizeBytes, mode },
    reason,
    device: createTransferDevice({ transfer, virtualSizeBytes, extents }),
    parent: planned.parentDisk && parent?.disks.get(diskId),
    isIncrement: content === 'increment',
    writer: target.writer,
    readers: transfer.client.connections * readsPerRequest(blockSizeBytes),
    attempts: DATA_ATTEMPTS,
    retryDelayMs: options.blockRetryMs,
  };
}
