/**
 * Synthetic full: makes the newest restore point of a VM a full, from its chain, without reading a
 * disk.
 */
import { RepositoryError, toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { isLeased, keptMessage, sweepLeases } from '../../repository/lease/leases.ts';
import { Repository } from '../../repository/repository.ts';
import { chainTo, type RestorePoint } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { keepReportOf, startSession } from '../history/keepReport.ts';
import { type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { prepareChain } from '../shared/prepareChain.ts';
import { mergePoints } from './mergeRange.ts';
import { selectPoint } from '../shared/selectPoint.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import type { StoreFolder } from '../../store/store.ts';
import type { StoreOptions } from '../../store/store.ts';
import { placeOptions } from '../shared/startRepository.ts';

export interface SynthesizeOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VM name or id. */
  readonly vm: string;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

export interface SynthesizeReport {
  readonly type: 'synthesize';
  readonly vmName: string;
  readonly vmId: string;
  readonly pointId: string;
  readonly pointNumber: number;
  /** False when the newest point already was a full. Then nothing was done. */
  readonly isNew: boolean;
  readonly fileName: string;
  readonly fileBytes: number;
  /** Bytes of the increment that the full replaced; 0 when nothing was done. */
  readonly replacedBytes: number;
  readonly messages: readonly SessionMessage[];
}

/** The full replaces the file of the newest point. The older points keep their files. */
async function refuseServed(folder: StoreFolder, newest: RestorePoint): Promise<void> {
  const lease = (await sweepLeases(folder)).find((one) => isLeased(one, newest.fileName));
  if (!lease) return;
  const { text, resolution } = keptMessage(lease);
  throw new RepositoryError('REPOSITORY_LOCKED', text, {
    hint: resolution,
    details: { file: lease.file },
  });
}

class Synthesis {
  readonly #options: SynthesizeOptions;
  readonly #session: SessionLog;
  readonly #progress: SessionProgress;
  readonly #started = startSession('synthesize');

  constructor(options: SynthesizeOptions) {
    this.#options = options;
    const facts = { sessionId: this.#started.sessionId, vmName: options.vm };
    this.#session = new SessionLog(options, facts);
    this.#progress = new SessionProgress(options, this.#session.log, facts);
  }

  async synthesize(): Promise<SynthesizeReport> {
    return await this.#progress.session(() => this.#synthesize());
  }

  async #synthesize(): Promise<SynthesizeReport> {
    const { repository: root, vm: name, signal } = this.#options;
    this.#progress.phase('preparing');
    await using repository = await Repository.open(root, placeOptions(this.#options));
    const folder = await repository.requireVm(name);
    const kept = { ...this.#started, session: this.#session, signal };
    return await keepReportOf(folder, kept, () => this.#synthesizeIn(folder));
  }

  async #synthesizeIn(folder: VmFolder): Promise<SynthesizeReport> {
    const { workers, signal = new AbortController().signal } = this.#options;
    const [session, progress] = [this.#session, this.#progress];
    await using lock = await folder.lock();
    const { vm } = await folder.requireMetadata();
    progress.nameVm(vm);
    const codecs = await createBlockCodecs();
    const metadata = await prepareChain(folder, vm, codecs, session.note);
    const newest = selectPoint(metadata, 'latest');
    if (newest.type === 'full') return this.#report(vm, newest, undefined);
    await refuseServed(folder.place, newest);
    const range = { points: chainTo(metadata.points, newest), parent: undefined };
    const options = { removed: [newest], chainId: newest.pointId };
    const context = { folder, lock, codecs, session, workers, signal, progress };
    const { point } = await mergePoints(metadata, range, options, context);
    return this.#report(vm, point, newest);
  }

  #report(
    vm: { readonly id: string; readonly name: string },
    point: RestorePoint,
    replaced: RestorePoint | undefined,
  ): SynthesizeReport {
    return {
      type: 'synthesize',
      vmName: vm.name,
      vmId: vm.id,
      pointId: point.pointId,
      pointNumber: point.number,
      isNew: replaced !== undefined,
      fileName: point.fileName,
      fileBytes: point.fileBytes,
      replacedBytes: replaced?.fileBytes ?? 0,
      messages: this.#session.messages,
    };
  }
}

/**
 * Makes the newest restore point of a VM a full, from stored blocks alone. The full starts a new
 * chain, and later increments build on it. The older points keep their files until retention
 * deletes them.
 *
 * @throws a {@link BackupError}: `USAGE_NOT_FOUND`, `CHAIN_PARENT_MISSING`, `REPOSITORY_LOCKED`,
 *   `REPOSITORY_FULL`, format and integrity codes. `REPOSITORY_LOCKED` also while the newest point
 *   is being served. After an error the points are as they were.
 */
export async function synthesizeFull(options: SynthesizeOptions): Promise<SynthesizeReport> {
  try {
    return await new Synthesis(options).synthesize();
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
