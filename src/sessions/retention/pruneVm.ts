/** The prune of one VM: deletes and merges restore points that a policy does not keep. */
import {
  BackupError,
  FormatError,
  IntegrityError,
  RepositoryError,
  toFailure,
} from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import {
  activeLeases,
  keptMessage,
  type Lease,
  leasedPoints,
  sweepLeases,
} from '../../repository/lease/leases.ts';
import { replacePoints } from '../../repository/retention/obsoleteFiles.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import {
  type MergeRange,
  planPrune,
  type PrunePlan,
} from '../../repository/retention/prunePlan.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import {
  applyRetention,
  isOfFuture,
  type RetentionPolicy,
} from '../../repository/retention/retention.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { prepareChain } from '../shared/prepareChain.ts';
import type { FolderFailure } from '../shared/folderFailures.ts';
import {
  keepFailure,
  keepReport,
  type KeptSession,
  removeStaleReports,
  startSession,
} from '../history/keepReport.ts';
import { type MergeContext, mergePoints } from './mergeRange.ts';
import { lockedCandidates, lockKept, lockMessage } from './pruneLocks.ts';
import { sizeOfMerge } from './rangeCopy.ts';
import { describePoints, type PrunedPoint, type PrunedVm } from './pruneReport.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import { whileHeld } from '../../store/lockLease.ts';
import type { Store, StoreLock } from '../../store/store.ts';

export interface VmPruneOptions {
  /** Rules for the points to keep, at least one. The newest point of a VM is always kept. */
  readonly keep: RetentionPolicy;
  /** Only reports the plan. Changes nothing and takes no lock. @defaultValue false */
  readonly dryRun?: boolean | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/**
 * Refuses to delete when the newest containers are missing: the older ones may be all that is left.
 */
function lostContainer({ pointId, fileName }: RestorePoint): RepositoryError {
  return new RepositoryError(
    'CHAIN_PARENT_MISSING',
    `restore point ${pointId} would be kept, but ${fileName} is missing; nothing was deleted`,
    { hint: 'copy the file back, or run "ovirt-cbt rescan" to remove its point from the chain' },
  );
}

function idsOf(points: readonly RestorePoint[]): ReadonlySet<string> {
  return new Set(points.map(({ pointId }) => pointId));
}

/** Errors that concern one VM. Other errors end the command. */
function isOfVm(error: BackupError): boolean {
  return (
    error instanceof RepositoryError ||
    error instanceof FormatError ||
    error instanceof IntegrityError
  );
}

/**
 * Errors that concern the containers of one range. They change nothing, so other ranges can go on.
 */
function isDamage(error: unknown): error is BackupError {
  return error instanceof BackupError && /^(FORMAT|INTEGRITY|CHAIN)_/.test(error.code);
}

/** Works on all ranges. @returns the first damage. Throws any other error at once. */
async function forEachRange(
  ranges: readonly MergeRange[],
  work: (range: MergeRange) => Promise<void>,
): Promise<BackupError | undefined> {
  let damage: BackupError | undefined;
  for (const range of ranges) {
    try {
      await work(range);
    } catch (error) {
      if (!isDamage(error)) throw error;
      damage ??= error;
    }
  }
  return damage;
}

/** The prune of one VM. */
export class VmPrune {
  readonly #options: VmPruneOptions;
  readonly #folder: VmFolder;
  readonly #codecs: BlockCodecs;
  readonly #store: Store;
  readonly #signal: AbortSignal;
  readonly #session: SessionLog;
  readonly #progress: SessionProgress;
  readonly #kept: KeptSession;
  #vmName: string;
  #points: PrunedPoint[] = [];
  #deletedBytes = 0;
  /** True when only merges are left to do. */
  #hasDeleted = false;
  #writtenBytes = 0;

  constructor(options: VmPruneOptions, folder: VmFolder, codecs: BlockCodecs, store: Store) {
    this.#options = options;
    this.#folder = folder;
    this.#codecs = codecs;
    this.#store = store;
    this.#signal = options.signal ?? new AbortController().signal;
    this.#vmName = folder.safeName;
    this.#session = new SessionLog(options, { vmId: folder.vmId });
    const started = startSession('prune');
    this.#kept = { ...started, session: this.#session, signal: this.#signal };
    const facts = { sessionId: started.sessionId, vmName: folder.safeName };
    this.#progress = new SessionProgress(options, this.#session.log, facts);
  }

  /** @throws a {@link BackupError} that is not of this VM alone; others are in the result */
  async prune(): Promise<PrunedVm> {
    const failure = await this.#tryPrune();
    const report = {
      vmName: this.#vmName,
      vmId: this.#folder.vmId,
      folder: this.#folder.folder,
      points: this.#points,
      deletedBytes: this.#deletedBytes,
      writtenBytes: this.#writtenBytes,
      failure,
      messages: this.#session.messages,
    };
    const isNothing = this.#points.length === 0 && !failure;
    if (isNothing || this.#options.dryRun) return report;
    await keepReport(this.#folder, this.#kept, report, failure);
    return report;
  }

  async #tryPrune(): Promise<FolderFailure | undefined> {
    try {
      await this.#progress.session(async () => {
        this.#progress.phase('preparing');
        if (this.#options.dryRun) await this.#estimate();
        else await this.#pruneWithReserve();
      });
      return undefined;
    } catch (error) {
      const cause = toFailure(error, this.#signal);
      if (!isOfVm(cause)) {
        if (!this.#options.dryRun) await keepFailure(this.#folder, this.#kept, cause);
        throw cause;
      }
      const { code, message, hint } = cause;
      return { folder: this.#folder.folder, code, message, hint };
    }
  }

  async #estimate(): Promise<void> {
    const metadata = await this.#folder.readMetadata();
    if (!metadata) return;
    const plan = await this.#plan(metadata);
    for (const point of plan.deleted) this.#deletedBytes += point.fileBytes;
    const options = { codecs: this.#codecs, signal: this.#signal };
    const damage = await forEachRange(plan.ranges, async (range) => {
      this.#writtenBytes += await sizeOfMerge(this.#folder.place, range, options);
      for (const point of range.points) this.#deletedBytes += point.fileBytes;
    });
    if (damage) throw damage;
  }

  /** On a full volume lock and .vbm need the reserve. A merge does not get it. */
  async #pruneWithReserve(): Promise<void> {
    try {
      await this.#prune();
    } catch (error) {
      const isFull = error instanceof RepositoryError && error.code === 'REPOSITORY_FULL';
      if (!isFull || this.#hasDeleted) throw error;
      if (!(await this.#store.freeReserve())) throw error;
      await this.#prune();
    }
  }

  async #prune(): Promise<void> {
    await using lock = await this.#folder.lock();
    await whileHeld(lock, this.#signal, (signal) => this.#pruneHeld(lock, signal));
  }

  async #pruneHeld(lock: StoreLock, signal: AbortSignal): Promise<void> {
    const folder = this.#folder;
    const known = await folder.readMetadata();
    if (!known) return;
    let metadata = await prepareChain(folder, known.vm, this.#codecs, this.#session.note);
    const plan = await this.#plan(metadata);
    metadata = await this.#delete(metadata, plan.deleted, lock);
    this.#hasDeleted = true;
    const { workers } = this.#options;
    const [codecs, session] = [this.#codecs, this.#session];
    const progress = this.#progress;
    const context = { folder, lock, codecs, session, progress, workers, signal };
    const damage = await forEachRange(plan.ranges, async (range) => {
      metadata = await this.#merge(metadata, range, context);
    });
    await this.#lockKept(metadata, lock);
    await removeStaleReports(folder, metadata.points, session.log);
    if (damage) throw damage;
  }

  async #lockKept(metadata: ChainMetadata, lock: StoreLock): Promise<void> {
    const { immutability } = this.#store;
    if (!immutability) return;
    this.#signal.throwIfAborted();
    await lockKept(this.#folder, metadata, lock, { policy: this.#options.keep, immutability });
  }

  async #plan(metadata: ChainMetadata): Promise<PrunePlan> {
    const { vm, points } = metadata;
    const now = new Date();
    this.#noteFuture(points.filter((point) => isOfFuture(point, now)));
    const kept = applyRetention(points, this.#options.keep, now);
    const keptIds = new Set(kept.keys());
    const leases = await this.#leases();
    const leased = leasedPoints(points, leases);
    const wanted = planPrune(points, keptIds, idsOf(leased));
    const locked = this.#mayBeLocked(points)
      ? await lockedCandidates(this.#folder.place, wanted, now)
      : [];
    const plan = planPrune(points, keptIds, idsOf([...leased, ...locked]));
    const message = lockMessage(vm.name, wanted, plan, locked);
    if (message) this.#session.note(message);
    this.#noteLeases(leases, points, planPrune(points, keptIds));
    this.#vmName = vm.name;
    this.#progress.nameVm(vm);
    this.#points = describePoints(points, kept, plan, leases, idsOf(locked));
    const present = new Set(await this.#folder.containerNames());
    const isLost = (point: RestorePoint): boolean => !present.has(point.fileName);
    const lost = points.find((point) => !plan.deleted.includes(point) && isLost(point));
    if (lost) throw lostContainer(lost);
    return plan;
  }

  /** Spares a repository without locks the questions, and the right to ask them. */
  #mayBeLocked(points: readonly RestorePoint[]): boolean {
    return this.#store.immutability !== undefined || points.some(({ lockedUntil }) => lockedUntil);
  }

  /** A dry run has no lock, so it takes the own clock and deletes no lease. */
  async #leases(): Promise<Lease[]> {
    const { place } = this.#folder;
    return this.#options.dryRun ? await activeLeases(place, Date.now()) : await sweepLeases(place);
  }

  /** Names the leases without which more would be done. `wanted` is the plan without leases. */
  #noteLeases(leases: readonly Lease[], points: readonly RestorePoint[], wanted: PrunePlan): void {
    const changed = idsOf([...wanted.deleted, ...wanted.ranges.flatMap((range) => range.points)]);
    for (const lease of leases) {
      const isKept = leasedPoints(points, [lease]).some(({ pointId }) => changed.has(pointId));
      if (isKept) this.#session.note(keptMessage(lease));
    }
  }

  #noteFuture(points: readonly RestorePoint[]): void {
    const [first] = points;
    if (!first) return;
    const fields = { n: points.length, rp: first.pointId, date: first.createdAt };
    this.#session.note(sessionMessage('REPO-514', fields));
  }

  async #delete(
    metadata: ChainMetadata,
    removed: readonly RestorePoint[],
    lock: StoreLock,
  ): Promise<ChainMetadata> {
    this.#signal.throwIfAborted();
    if (removed.length === 0) return metadata;
    const cleared = await replacePoints(this.#folder, metadata, lock, { removed });
    for (const message of cleared.messages) this.#session.note(message);
    this.#countDeleted(removed, cleared.metadata);
    return cleared.metadata;
  }

  async #merge(
    metadata: ChainMetadata,
    range: MergeRange,
    context: MergeContext,
  ): Promise<ChainMetadata> {
    this.#signal.throwIfAborted();
    const removed = range.points.toReversed();
    const chainId = removed[0]?.chainId ?? '';
    const merged = await mergePoints(metadata, range, { removed, chainId }, context);
    this.#writtenBytes += merged.point.fileBytes;
    this.#countDeleted(removed, merged.metadata);
    return merged.metadata;
  }

  #countDeleted(removed: readonly RestorePoint[], { obsoleteFiles = [] }: ChainMetadata): void {
    for (const { fileName, fileBytes } of removed) {
      if (!obsoleteFiles.includes(fileName)) this.#deletedBytes += fileBytes;
    }
  }
}
