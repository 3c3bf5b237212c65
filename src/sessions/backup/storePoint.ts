/**
 * The part that all backup sessions share: from a plan to a committed restore point and its report.
 * Image and VM sessions differ only in how they read disks.
 */
import type { Compression } from '../../compute/compression.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { RestorePoint, VmIdentity } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { forEachLimited, PipelineResources } from '../shared/pipelineResources.ts';
import { PointWriter } from '../shared/pointWriter.ts';
import type { SessionProgress } from '../shared/progress.ts';
import { type EngineReport, reportSession, type SessionReport } from '../shared/report.ts';
import type { SessionLog } from '../shared/sessionLog.ts';
import { whileHeld } from '../../store/lockLease.ts';
import type { DiskResult } from './backupDisk.ts';
import { draftPoint, toDiskPoint } from './draftPoint.ts';
import { updateDamageRecord } from './parent/damageRecord.ts';
import type { CheckedParent } from './parent/parentPoint.ts';
import { PARALLEL_DISKS, type PlannedDisk } from './plannedDisk.ts';
import type { StoreLock } from '../../store/store.ts';

/** A backup session, for its log, its report and the restore point. */
export interface SessionIdentity {
  readonly sessionId: string;
  readonly startedAt: Date;
  /** `performance.now()` at the start. */
  readonly startedAtMs: number;
  readonly session: SessionLog;
  readonly progress: SessionProgress;
}

/** The chain of one VM, locked by this session. */
export interface LockedChain {
  /** Root folder of the repository. */
  readonly repositoryRoot: string;
  readonly folder: VmFolder;
  readonly metadata: ChainMetadata;
  readonly lock: StoreLock;
}

export interface StorePointOptions {
  readonly identity: SessionIdentity;
  readonly chain: LockedChain;
  /** The VM as it is called now. */
  readonly vm: VmIdentity;
  readonly parent: CheckedParent | undefined;
  readonly blockSizeBytes: number;
  /** Bytes that the disks may give at most: what is allocated on them. */
  readonly allocatedBytes: number;
  readonly workers: number | undefined;
  readonly compression: Compression | undefined;
  /** True for local files. Threads read them. */
  readonly readsImages: boolean;
  readonly signal: AbortSignal | undefined;
  /** The VM's configuration; undefined when there is none. */
  readonly ovf?: string | undefined;
}

/** A disk and how it was really read. */
export interface ReadDisk {
  readonly planned: PlannedDisk;
  readonly result: DiskResult;
  /** Only for images: it was modified meanwhile. */
  readonly changedWhileRead?: boolean | undefined;
}

/** All disks are in the container, and the source is released. */
export interface ReadDisks {
  readonly disks: readonly ReadDisk[];
  /** Wall time of the pipelines. */
  readonly pipelineMs: number;
  /** Base of the next session; empty when there is none. */
  readonly checkpointId: string;
  readonly engine?: EngineReport | undefined;
}

export interface StoredPoint {
  readonly report: SessionReport;
  /** All restore points of the VM, the new one last. */
  readonly points: readonly RestorePoint[];
}

/**
 * Makes a restore point. A failure before the commit leaves the points before it as they were.
 *
 * @param readDisks - reads all disks into the writer's container and releases the source.
 * @throws what `readDisks`, the pipeline and the repository throw
 */
export async function storePoint(
  options: StorePointOptions,
  readDisks: (target: PointWriter, resources: PipelineResources) => Promise<ReadDisks>,
): Promise<StoredPoint> {
  const { chain, signal } = options;
  return await whileHeld(chain.lock, signal, (both) =>
    storeHeld({ ...options, signal: both }, readDisks),
  );
}

async function storeHeld(
  options: StorePointOptions,
  readDisks: (target: PointWriter, resources: PipelineResources) => Promise<ReadDisks>,
): Promise<StoredPoint> {
  const { identity, chain, parent, blockSizeBytes, allocatedBytes, readsImages } = options;
  const { folder } = chain;
  const place = { folder, points: chain.metadata.points, parent: parent?.point };
  const draft = await draftPoint(place, identity.startedAt, blockSizeBytes);
  await using resources = await PipelineResources.create(options);
  if (readsImages) resources.start();
  await using target = await PointWriter.create(
    folder,
    draft.fileName,
    blockSizeBytes,
    allocatedBytes,
  );
  const read = await readDisks(target, resources);
  identity.progress.phase('committing');
  const commitFromMs = performance.now();
  const point = await commit(target, { ...draft, checkpointId: read.checkpointId }, read, options);
  const commitMs = performance.now() - commitFromMs;
  return await report(options, read, point, commitMs);
}

async function commit(
  target: PointWriter,
  draft: Omit<RestorePoint, 'disks'>,
  read: ReadDisks,
  { identity, chain, vm, parent, ovf }: StorePointOptions,
): Promise<RestorePoint> {
  const disks = read.disks.map(({ planned, result, changedWhileRead }) =>
    toDiskPoint(planned, result, changedWhileRead),
  );
  const { metadata, lock } = chain;
  const point = await target.publish(
    vm,
    { ...draft, disks },
    read.disks.map(({ result }) => result.content),
    { metadata, parent: parent?.point, lock, ovf },
  );
  identity.session.log.info({ fileName: point.fileName }, 'session committed');
  return point;
}

async function report(
  { identity, chain, vm, parent }: StorePointOptions,
  read: ReadDisks,
  point: RestorePoint,
  commitMs: number,
): Promise<StoredPoint> {
  const { session, sessionId, startedAt, startedAtMs } = identity;
  const points = [...chain.metadata.points, point];
  const healing = await updateDamageRecord(chain.folder.place, points, parent, session.log);
  const facts = {
    sessionId,
    vm,
    repository: chain.repositoryRoot,
    startedAt,
    startedAtMs,
    pipelineSeconds: read.pipelineMs / 1000,
    commitSeconds: commitMs / 1000,
    parallelDisks: PARALLEL_DISKS,
    messages: session.messages,
    engine: read.engine,
    healing,
  };
  const disks = read.disks.map(({ result }) => result.report);
  return { report: reportSession(facts, point, disks), points };
}

/**
 * Reads all disks of a plan, a few at once. The first failure stops the others and is thrown.
 *
 * @param readDisk - reads one disk into the container.
 */
export async function readAllDisks(
  planned: readonly PlannedDisk[],
  resources: PipelineResources,
  readDisk: (disk: PlannedDisk, index: number) => Promise<ReadDisk>,
): Promise<ReadDisk[]> {
  const read: ReadDisk[] = [];
  await forEachLimited(planned, PARALLEL_DISKS, async (disk, k) => {
    if (resources.signal.aborted) return;
    try {
      read[k] = await readDisk(disk, k);
    } catch (error) {
      // Failures in the other disks are only its consequence.
      resources.stop(error);
    }
  });
  resources.signal.throwIfAborted();
  return read;
}
