/** Copies restore points from one repository to another: the off-site copy. */
import { randomUUID } from 'node:crypto';
import { toFailure, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { createRateLimit } from '../shared/rateLimit.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { Repository } from '../../repository/repository.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { selectPoint } from '../shared/selectPoint.ts';
import type { StoreOptions } from '../../store/store.ts';
import { forEachFolder } from '../shared/folderFailures.ts';
import { resolveWorkers } from '../shared/pipelineResources.ts';
import { type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import { placeOptions, startRepository } from '../shared/startRepository.ts';
import type { CopiedVm, CopyReport } from './copyReport.ts';
import { VmCopy } from './copyVm.ts';

export interface CopyOptions {
  /** Repository that is read: folder, or `s3://bucket/prefix`. Only leases are written there. */
  readonly from: string;
  /** Repository that gets the points. A new or empty place becomes one. */
  readonly to: string;
  readonly fromStore?: StoreOptions | undefined;
  readonly toStore?: StoreOptions | undefined;
  /** VM name or id. @defaultValue every VM */
  readonly vm?: string | undefined;
  /** One point of `vm`: number, id, its beginning, or `latest`. @defaultValue every point */
  readonly point?: string | undefined;
  /** Reads each new container again at the target. @defaultValue false */
  readonly verify?: boolean | undefined;
  /** Most stored bytes that are read in a second, above 0. @defaultValue no limit */
  readonly bytesPerSecond?: number | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
function checkOptions({ point, vm, bytesPerSecond, workers }: CopyOptions): void {
  resolveWorkers(workers);
  if (point !== undefined && vm === undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', 'a point was given without its VM', {
      hint: 'name the VM of the restore point, too',
    });
  }
  if (bytesPerSecond !== undefined && !(bytesPerSecond > 0)) {
    const text = `a limit of ${bytesPerSecond} bytes per second lets nothing pass`;
    throw new UsageError('USAGE_INVALID_OPTION', text, { hint: 'give more than 0' });
  }
}

class RepositoryCopy {
  readonly #options: CopyOptions;
  readonly #signal: AbortSignal;
  readonly #pace: ((bytes: number) => Promise<void>) | undefined;

  constructor(options: CopyOptions) {
    this.#options = options;
    this.#signal = options.signal ?? new AbortController().signal;
    const { bytesPerSecond } = options;
    if (bytesPerSecond !== undefined) this.#pace = createRateLimit(bytesPerSecond, this.#signal);
  }

  async run(): Promise<CopyReport> {
    const startedAtMs = performance.now();
    const { from, to, fromStore, toStore, vm, point } = this.#options;
    await using source = await Repository.open(
      from,
      placeOptions({ ...this.#options, store: fromStore }),
    );
    // Before the target is made: a mistyped VM or point must not leave an empty repository.
    const folders = vm ? [await source.requireVm(vm)] : await source.vmFolders();
    if (point !== undefined) await requirePoint(folders, point);
    await using target = await startRepository(to, { ...this.#options, store: toStore });
    if (source.root === target.root) throw sameRepository(to);
    const codecs = await createBlockCodecs();
    const vms: CopiedVm[] = [];
    const failures = await forEachFolder(folders, async (folder) => {
      const facts = { sessionId: randomUUID(), vmName: folder.safeName };
      const session = new SessionLog(this.#options, facts);
      const progress = new SessionProgress(this.#options, session.log, facts);
      const { workers, verify = false } = this.#options;
      const context = { codecs, workers, signal: this.#signal, progress, session, verify };
      const copy = new VmCopy(folder, target, { ...context, pace: this.#pace });
      progress.phase('preparing');
      vms.push(await progress.session(() => copy.copy(point)));
    });
    const durationSeconds = (performance.now() - startedAtMs) / 1000;
    return { type: 'copy', from: source.root, to: target.root, durationSeconds, vms, failures };
  }
}

/** @throws {@link UsageError} `USAGE_NOT_FOUND` */
async function requirePoint(folders: readonly VmFolder[], point: string): Promise<void> {
  for (const folder of folders) selectPoint(await folder.requireMetadata(), point);
}

function sameRepository(place: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `${place} cannot be copied to itself`, {
    hint: 'name two different repositories',
  });
}

/**
 * Copies the restore points that the target does not hold. Stored blocks are copied as they are,
 * and each is checked. A point whose parent is not at the target is copied as a full.
 *
 * A copy that is stopped or killed leaves the points that were complete. The next copy continues
 * with the first one that is missing. A damaged point, or a VM that fails, does not stop the
 * others. Both are in the report.
 *
 * @throws a {@link BackupError}: `USAGE_INVALID_OPTION`, `USAGE_NOT_FOUND`, `REPOSITORY_NOT_FOUND`,
 *   `CANCELLED`
 */
export async function copyPoints(options: CopyOptions): Promise<CopyReport> {
  checkOptions(options);
  try {
    return await new RepositoryCopy(options).run();
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
