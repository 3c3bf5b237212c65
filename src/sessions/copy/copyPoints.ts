/** Copies restore points from one repository to another: the off-site copy. */
import { toFailure, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { startSession } from '../history/keepReport.ts';
import { checkRate, createRateLimit } from '../shared/rateLimit.ts';
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
  checkRate(bytesPerSecond);
}

async function copyRepository(options: CopyOptions): Promise<CopyReport> {
  const { from, fromStore, vm, point } = options;
  await using source = await Repository.open(from, placeOptions({ ...options, store: fromStore }));
  // Before the target is made: a mistyped VM or point must not leave an empty repository.
  const folders = vm ? [await source.requireVm(vm)] : await source.vmFolders();
  if (point !== undefined) await requirePoint(folders, point);
  return await copyFolders(source, folders, options);
}

/** {@link copyPoints} of some VMs of a repository that the caller has opened. */
export async function copyFolders(
  source: Repository,
  folders: readonly VmFolder[],
  options: Omit<CopyOptions, 'from' | 'fromStore' | 'vm'>,
): Promise<CopyReport> {
  const startedAtMs = performance.now();
  const { to, toStore, point, workers, verify = false, bytesPerSecond } = options;
  const signal = options.signal ?? new AbortController().signal;
  const pace = bytesPerSecond === undefined ? undefined : createRateLimit(bytesPerSecond, signal);
  await using target = await startRepository(to, { ...options, store: toStore });
  if (source.root === target.root) throw sameRepository(to);
  const codecs = await createBlockCodecs();
  const vms: CopiedVm[] = [];
  const failures = await forEachFolder(folders, async (folder) => {
    const started = startSession('copy');
    const facts = { sessionId: started.sessionId, vmName: folder.safeName };
    const session = new SessionLog(options, facts);
    const progress = new SessionProgress(options, session.log, facts);
    const context = { codecs, workers, signal, started, progress, session, verify, pace };
    const copy = new VmCopy(folder, target, context);
    progress.phase('preparing');
    vms.push(await progress.session(() => copy.copy(point)));
  });
  const durationSeconds = (performance.now() - startedAtMs) / 1000;
  return { type: 'copy', from: source.root, to: target.root, durationSeconds, vms, failures };
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
    return await copyRepository(options);
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
