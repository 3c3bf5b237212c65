/** Reads the disks of an engine backup into a container: open, extents, audit, pipe, close. */
import { BackupError } from '../../../core/errors.ts';
import { sessionMessage } from '../../../core/messages.ts';
import { PartialReadDevice } from '../../../devices/partialReadDevice.ts';
import { readsPerRequest } from '../../../devices/readGatherer.ts';
import { createTransferDevice } from '../../../devices/transferDevice.ts';
import { DATA_ATTEMPTS } from '../../../ovirt/imageio/dataRetry.ts';
import { ExtentList } from '../../../ovirt/imageio/extentList.ts';
import type { DiskTransfer } from '../../../ovirt/lifecycle/transfer.ts';
import type { PipelineResources } from '../../shared/pipelineResources.ts';
import type { PointWriter } from '../../shared/pointWriter.ts';
import type { Pace } from '../../shared/rateLimit.ts';
import type { SessionProgress } from '../../shared/progress.ts';
import type { AuditReport } from '../../shared/report.ts';
import type { SessionLog } from '../../shared/sessionLog.ts';
import { auditDisk } from '../auditDisk.ts';
import { backupDisk, type DiskInput, type DiskResult } from '../backupDisk.ts';
import { withDamageDirty } from '../parent/damagedPlaces.ts';
import type { ParentChain } from '../parent/parentBlocks.ts';
import type { CheckedParent } from '../parent/parentPoint.ts';
import type { PlannedDisk } from '../plannedDisk.ts';
import type { ReadDisk } from '../storePoint.ts';
import { asCompared, fetchExtents, type MappedDisk } from './diskExtents.ts';
import type { EngineBackup } from './engineBackup.ts';

export interface VmDisksContext {
  readonly backup: EngineBackup;
  readonly parent: CheckedParent | undefined;
  /** Supplies the rest of a block of which only parts are read; undefined reads whole blocks. */
  readonly parentChain: ParentChain | undefined;
  readonly target: PointWriter;
  readonly resources: PipelineResources;
  readonly session: SessionLog;
  readonly blockSizeBytes: number;
  readonly blockRetryMs: number;
  readonly auditRatio: number | undefined;
  /** Limits the bytes that all sessions of a job read. */
  readonly pace: Pace | undefined;
  readonly progress: SessionProgress;
  /** Ends the reads of all disks. */
  readonly signal: AbortSignal;
}

/** The engine could not open the change map of a disk, so this backup cannot be read. */
export class ChangeMapBroken extends Error {
  readonly disk: PlannedDisk;

  constructor(disk: PlannedDisk, cause: unknown) {
    super(`change map of ${disk.alias}`, { cause });
    this.disk = disk;
  }
}

/**
 * Reads one disk.
 *
 * @throws {@link ChangeMapBroken} when an incremental disk cannot be opened; errors of the
 *   transfer, the pipeline and the storage
 */
export async function readVmDisk(wanted: PlannedDisk, context: VmDisksContext): Promise<ReadDisk> {
  const { backup, session } = context;
  const offered = offeredMode(wanted, backup);
  const transfer = await openTransfer(offered, context);
  const startedAtMs = performance.now();
  const fetched = await fetchExtents(offered, transfer, context);
  const extentsMs = performance.now() - startedAtMs;
  const { audit, ...mapped } = await auditChangeMap(fetched, transfer, context);
  const { diskId, alias, mode, reason } = mapped.planned;
  session.log.info({ diskId, alias, mode, reason }, 'disk started');
  const input = await diskInput(mapped, transfer, context);
  const read = await pipeDisk({ ...input, extentsMs }, audit, context);
  await backup.closeDisk(transfer);
  session.log.info({ diskId, ...read.content.counts }, 'disk done');
  return { planned: mapped.planned, result: read };
}

/** The engine decides last whether it offers a disk's change map. */
export function offeredMode(disk: PlannedDisk, backup: EngineBackup): PlannedDisk {
  const isOffered = backup.ready.isIncremental.get(disk.diskId) === true;
  if (disk.mode !== 'incremental' || isOffered) return disk;
  return { ...disk, mode: 'compare', reason: 'the engine offers this disk in full only' };
}

/** @throws {@link ChangeMapBroken} when an incremental disk cannot be opened */
export async function openTransfer(
  disk: PlannedDisk,
  context: Pick<VmDisksContext, 'backup' | 'session'>,
): Promise<DiskTransfer> {
  const { backup, session } = context;
  try {
    return await backup.openDisk(disk);
  } catch (error) {
    if (!isNotReady(error)) throw error;
    if (disk.mode === 'incremental') throw new ChangeMapBroken(disk, error);
    const { diskId } = disk;
    session.log.warn({ diskId }, 'the transfer could not be started, trying once more');
    return await backup.openDisk(disk);
  }
}

function isNotReady(error: unknown): boolean {
  return error instanceof BackupError && error.code === 'TRANSFER_NOT_READY';
}

/** Tries out a change map before anything relies on it. One that misses changes is not used. */
async function auditChangeMap(
  fetched: MappedDisk,
  transfer: DiskTransfer,
  context: VmDisksContext,
): Promise<MappedDisk & { readonly audit?: AuditReport | undefined }> {
  const { planned } = fetched;
  const { auditRatio: ratio, blockSizeBytes, parent, resources, session } = context;
  const known = planned.parentDisk && parent?.disks.get(planned.diskId);
  if (planned.mode !== 'incremental' || !known) return fetched;
  const mapped = { planned, extents: withDamageDirty(fetched.extents, known, blockSizeBytes) };
  if (ratio === undefined) return mapped;
  const input = wholeBlockInput(mapped, transfer, context);
  const audit = await auditDisk({ ...input, parent: known }, resources, ratio);
  if (audit.mismatchedBlocks === 0) return { ...mapped, audit };
  const { alias, diskId: id } = planned;
  const [n, m, rp] = [audit.mismatchedBlocks, audit.auditedBlocks, parent?.point.pointId ?? ''];
  session.note(sessionMessage('CBT-108', { n, m, alias, id, rp }));
  const reason = 'the audit of its change map found changes that it misses';
  return { ...(await asCompared(planned, reason, transfer, context)), audit };
}

/**
 * The pipeline's input. With a parent chain only the dirty bytes of a block are read.
 * A disk with damaged blocks is read in whole blocks: its extents are not those of the engine.
 */
async function diskInput(
  mapped: MappedDisk,
  transfer: DiskTransfer,
  context: VmDisksContext,
): Promise<DiskInput> {
  const input = wholeBlockInput(mapped, transfer, context);
  const { planned, extents } = mapped;
  const { parentChain } = context;
  if (!parentChain || !planned.parentDisk || planned.mode !== 'incremental') return input;
  if (!(extents instanceof ExtentList)) return input;
  const blocks = await parentChain.disk(planned.parentDisk);
  const readParent = blocks.readInto.bind(blocks);
  const device = new PartialReadDevice({ device: input.device, extents, readParent });
  return { ...input, device, readBytes: () => device.requestedBytes };
}

function wholeBlockInput(
  { planned, extents }: MappedDisk,
  transfer: DiskTransfer,
  context: VmDisksContext,
): DiskInput {
  const { blockSizeBytes, parent, target, resources, pace } = context;
  const threadsFor = resources.rangeThreadsFor.bind(resources);
  const { diskId, alias, sizeBytes: virtualSizeBytes, mode, reason, content } = planned;
  const device = createTransferDevice({ transfer, virtualSizeBytes, extents, threadsFor, pace });
  return {
    task: { diskId, alias, virtualSizeBytes, blockSizeBytes, mode },
    reason,
    device,
    limitMs: pace && (() => device.limitMs),
    parent: planned.parentDisk && parent?.disks.get(diskId),
    isIncrement: content === 'increment',
    writer: target.writer,
    readers: transfer.client.connections * readsPerRequest(blockSizeBytes),
    attempts: DATA_ATTEMPTS,
    retryDelayMs: context.blockRetryMs,
  };
}

async function pipeDisk(
  input: DiskInput,
  audit: AuditReport | undefined,
  { resources, progress }: VmDisksContext,
): Promise<DiskResult> {
  const read = await backupDisk(input, resources, progress);
  return audit ? { ...read, report: { ...read.report, audit } } : read;
}
