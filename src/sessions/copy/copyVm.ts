/** Copies the points of one VM into another repository. */
import { BackupError } from '../../core/errors.ts';
import { PointLease } from '../../repository/lease/pointLease.ts';
import { insertPoint } from '../../repository/pointOrder.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { Repository } from '../../repository/repository.ts';
import { chainTo, type RestorePoint, type VmIdentity } from '../../repository/restorePoint.ts';
import { replacePoints } from '../../repository/retention/obsoleteFiles.ts';
import type { MergeRange } from '../../repository/retention/prunePlan.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { StoreLock } from '../../store/store.ts';
import { keepReportOf, type StartedSession } from '../history/keepReport.ts';
import { type CopyContext, copyRange, lastOf, mostBytesOf } from '../retention/rangeCopy.ts';
import { PointWriter } from '../shared/pointWriter.ts';
import { prepareChain } from '../shared/prepareChain.ts';
import { selectPoint } from '../shared/selectPoint.ts';
import type { SessionLog } from '../shared/sessionLog.ts';
import { whileHeld } from '../../store/lockLease.ts';
import { verifyCopy } from './verifyCopy.ts';
import type { CopiedPoint, CopiedVm, FailedPoint } from './copyReport.ts';

export interface VmCopyContext extends Omit<CopyContext, 'phase'> {
  readonly session: SessionLog;
  readonly started: StartedSession;
  /** Reads each new container again. */
  readonly verify: boolean;
}

/** Errors that concern one point. Other errors end the copy of the VM. */
function isOfPoint(error: unknown): error is BackupError {
  return error instanceof BackupError && /^(FORMAT|INTEGRITY|CHAIN)_/.test(error.code);
}

export class VmCopy {
  readonly #source: VmFolder;
  readonly #target: Repository;
  readonly #context: VmCopyContext;
  readonly #copied: CopiedPoint[] = [];
  readonly #failed: FailedPoint[] = [];
  #presentCount = 0;

  constructor(source: VmFolder, target: Repository, context: VmCopyContext) {
    this.#source = source;
    this.#target = target;
    this.#context = context;
  }

  /**
   * Copies the points that the target does not hold.
   *
   * @param selector - one point: number or id, the beginning of its id, or `latest`. Undefined for
   *   all points.
   * @throws a {@link BackupError}; points that were copied before stay
   */
  async copy(selector: string | undefined): Promise<CopiedVm> {
    const { session, progress, started, signal } = this.#context;
    const source = await this.#source.requireMetadata();
    const { vm, points } = source;
    const wanted = selector === undefined ? points : [selectPoint(source, selector)];
    progress.nameVm(vm);
    const target = await this.#target.createVm(vm);
    const kept = { ...started, session, vmName: vm.name, signal };
    const work = (): Promise<CopiedVm> => this.#copyTo(target, vm, wanted);
    return await keepReportOf(target, kept, work, ({ failed }) => failed[0]);
  }

  async #copyTo(
    target: VmFolder,
    vm: VmIdentity,
    wanted: readonly RestorePoint[],
  ): Promise<CopiedVm> {
    const { session, codecs } = this.#context;
    await using lock = await target.lock();
    let metadata = await prepareChain(target, vm, codecs, session.note);
    for (const { pointId } of wanted) {
      this.#context.signal.throwIfAborted();
      if (has(metadata, pointId)) this.#presentCount++;
      else metadata = await this.#tryPoint(pointId, target, metadata, lock);
    }
    return {
      vmName: vm.name,
      vmId: vm.id,
      folder: target.folder,
      copied: this.#copied,
      presentCount: this.#presentCount,
      failed: this.#failed,
      messages: session.messages,
    };
  }

  /** @returns the chain metadata of the target. Damage of one point does not stop the others. */
  async #tryPoint(
    pointId: string,
    target: VmFolder,
    metadata: ChainMetadata,
    lock: StoreLock,
  ): Promise<ChainMetadata> {
    // A prune may have changed the source meanwhile.
    const now = await this.#source.requireMetadata();
    const point = now.points.find((one) => one.pointId === pointId);
    if (!point) return metadata;
    try {
      return await this.#copyPoint(point, now, target, metadata, lock);
    } catch (error) {
      this.#noteFailure(point, error);
      return metadata;
    }
  }

  /** Throws errors that do not concern the point alone. */
  #noteFailure({ pointId, number }: RestorePoint, error: unknown): void {
    if (!isOfPoint(error)) throw error;
    const { code, message, hint } = error;
    this.#failed.push({ pointId, number, code, message, hint });
  }

  async #copyPoint(
    point: RestorePoint,
    source: ChainMetadata,
    target: VmFolder,
    metadata: ChainMetadata,
    lock: StoreLock,
  ): Promise<ChainMetadata> {
    const chain = chainTo(source.points, point);
    const files = chain.map(({ fileName }) => fileName);
    const onMessage = this.#context.session.note;
    // Without the lease a prune of the source could delete what is being read.
    const lease = await PointLease.take({ folder: this.#source, point, files, onMessage });
    try {
      const parent = metadata.points.find((one) => one.pointId === point.parentPointId);
      const range = rangeOf(chain, parent !== undefined);
      const updated = await this.#writePoint({ range, parent, source }, target, metadata, lock);
      return updated;
    } finally {
      await lease.release();
    }
  }

  async #writePoint(
    from: {
      readonly range: MergeRange;
      readonly parent: RestorePoint | undefined;
      readonly source: ChainMetadata;
    },
    target: VmFolder,
    metadata: ChainMetadata,
    lock: StoreLock,
  ): Promise<ChainMetadata> {
    const { range, parent, source } = from;
    const { session, verify, signal } = this.#context;
    const { pointId, createdAt, blockSizeBytes } = lastOf(range);
    const type = parent ? 'increment' : 'full';
    const fileName = await target.unusedContainerName(type, new Date(createdAt));
    session.log.info({ pointId, fileName }, 'copy started');
    const mostBytes = mostBytesOf(range);
    await using writer = await PointWriter.create(target, fileName, blockSizeBytes, mostBytes);
    const place = { place: this.#source.place, vm: source.vm, range };
    const facts = { chainId: parent?.chainId ?? pointId, fileName, parent };
    const { point } = await whileHeld(lock, signal, (both) =>
      copyRange(place, writer, facts, { ...this.#context, signal: both, phase: 'copying' }),
    );
    signal.throwIfAborted();
    const points = [...metadata.points];
    insertPoint(points, point);
    const updated = await writer.list({ ...metadata, vm: source.vm, points }, lock);
    session.log.info({ pointId, fileBytes: point.fileBytes }, 'copy committed');
    try {
      if (verify) await verifyCopy(target.place, point, parent, source.vm.id, this.#context);
    } catch (error) {
      this.#noteFailure(point, error);
      // Otherwise the next copy would count it as present, and increments would build on it.
      const cleared = await replacePoints(target, updated, lock, { removed: [point] });
      for (const message of cleared.messages) session.note(message);
      return cleared.metadata;
    }
    const { number, fileBytes } = point;
    this.#copied.push({ pointId, number, type, fileName, fileBytes, isVerified: verify });
    return updated;
  }
}

function has({ points }: ChainMetadata, pointId: string): boolean {
  return points.some((point) => point.pointId === pointId);
}

/** With its parent at the target a point stays an increment. Otherwise it becomes a full. */
function rangeOf(chain: readonly RestorePoint[], hasParent: boolean): MergeRange {
  if (!hasParent) return { points: chain, parent: undefined };
  return { points: chain.slice(-1), parent: chain.at(-2) };
}
