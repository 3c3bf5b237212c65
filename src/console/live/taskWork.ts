/** What each kind of task does. The sessions are those of the command line. */
import { once } from 'node:events';
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, IntegrityError, toOutputError, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { engineSettings, storeOptionsOf } from '../../jobs/config/connectionSettings.ts';
import type { JobConfig } from '../../jobs/jobFile.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import { openRepository } from '../../points/openRepository.ts';
import { safeFileName } from '../../repository/names.ts';
import { restoreImages } from '../../sessions/restore/restoreImages.ts';
import { restoreVm } from '../../sessions/restore/restoreVm.ts';
import { checkNewVmName } from '../../sessions/restore/restoreTarget.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import { verifyRepository } from '../../sessions/verify/verifyRepository.ts';
import { makeFolder } from '../../store/folder/durableFile.ts';
import type { TaskRequest } from '../contract.ts';

/** Tries to find a name for a folder that nobody has. */
const MOST_FOLDERS = 100;
/** Names of files in the result of a task. */
const MOST_RESULTS = 1000;

export interface TaskContext {
  readonly job: JobConfig;
  /** Id, or name where the id is unknown. */
  readonly vm: string;
  readonly vmName: string;
  readonly restoreFolder: string | undefined;
  readonly timings: OvirtTimings | undefined;
  readonly startedAt: Date;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
  readonly onProgress: (event: ProgressEvent) => void;
  /** What the task has made so far. */
  readonly onResults: (results: readonly string[]) => void;
}

type RequestOf<Type extends TaskRequest['type']> = Extract<TaskRequest, { type: Type }>;

/** Refuses before the start what cannot be done. @throws {@link UsageError} */
export function checkTask(request: TaskRequest, restoreFolder: string | undefined): void {
  if (request.type === 'restoreVm') checkNewVmName(request.newName);
  if (request.type === 'restoreFiles') requireFolder(restoreFolder);
}

function requireFolder(folder: string | undefined): string {
  if (folder !== undefined) return folder;
  throw new UsageError('USAGE_INVALID_OPTION', 'this daemon has no folder for restored files', {
    hint: 'start it with --restore-folder DIR, or restore to the engine',
  });
}

/** @throws a {@link BackupError}; a session that is stopped leaves no unfinished file or VM. */
export async function doTask(request: TaskRequest, context: TaskContext): Promise<void> {
  switch (request.type) {
    case 'restoreFiles':
      await restoreFiles(request, context);
      return;
    case 'restoreVm':
      await restoreToEngine(request, context);
      return;
    case 'verify':
      await verify(request, context);
      return;
    case 'export':
      await serve(request, context);
  }
}

function sessionOptions({ signal, logger, onMessage, onProgress, job }: TaskContext) {
  return { signal, logger, onMessage, onProgress, workers: job.backup.workers };
}

function sourceOf({ job, vm, signal }: TaskContext) {
  const { place } = job.repository;
  return { repository: place, store: storeOptionsOf(job.repository, { signal }), vm };
}

/** Each restore has a folder of its own, so it never meets a file of another one. */
async function restoreFiles(
  { pointId, diskIds }: RequestOf<'restoreFiles'>,
  context: TaskContext,
): Promise<void> {
  const output = await makeOwnFolder(requireFolder(context.restoreFolder), context);
  try {
    const report = await restoreImages({
      ...sourceOf(context),
      ...sessionOptions(context),
      point: pointId,
      disks: diskIds.length > 0 ? diskIds : undefined,
      output,
    });
    context.onResults(report.disks.map((disk) => disk.path));
  } catch (error) {
    context.onResults(await leftIn(output));
    throw error;
  }
}

/** `<time>-<name of the VM>`, with mode 0700: the files are as secret as the disks. */
async function makeOwnFolder(above: string, { startedAt, vmName }: TaskContext): Promise<string> {
  const time = startedAt.toISOString().slice(0, 19).replaceAll(':', '');
  const stem = path.join(above, `${time}-${safeFileName(vmName)}`);
  try {
    await makeFolder(above);
    for (let k = 1; ; k++) {
      const folder = k === 1 ? stem : `${stem}-${k}`;
      if (await isMade(folder, k === MOST_FOLDERS)) return folder;
    }
  } catch (error) {
    throw toOutputError(stem, error);
  }
}

/** False for a name that is taken. */
async function isMade(folder: string, isLastTry: boolean): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || isLastTry) throw error;
    return false;
  }
}

/** Disks that were complete before the restore failed. An empty folder is removed. */
async function leftIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  if (names.length === 0) await rmdir(folder).catch(() => {});
  return names.slice(0, MOST_RESULTS).map((name) => path.join(folder, name));
}

async function restoreToEngine(
  { pointId, newName, storageDomain, cluster }: RequestOf<'restoreVm'>,
  context: TaskContext,
): Promise<void> {
  const { job, timings, signal } = context;
  const report = await restoreVm({
    ...sourceOf(context),
    ...sessionOptions(context),
    engine: await engineSettings(job.engine, timings, signal),
    point: pointId,
    asVm: newName,
    storageDomain,
    cluster,
  });
  context.onResults([`VM ${report.newVmName} (${report.newVmId})`]);
}

async function verify({ pointId }: RequestOf<'verify'>, context: TaskContext): Promise<void> {
  const report = await verifyRepository({
    ...sourceOf(context),
    ...sessionOptions(context),
    point: pointId,
  });
  const [failure] = report.failures;
  if (failure) {
    const { code, message, hint } = failure;
    throw new IntegrityError(code, message, { hint });
  }
  const count = report.files.length;
  const files = count === 1 ? '1 file' : `${count} files`;
  if (report.outcome === 'ok') {
    context.onResults([`${files} checked, no damage`]);
    return;
  }
  context.onResults([`${files} checked, findings: ${report.damageCount}`]);
  throw new IntegrityError('INTEGRITY_DAMAGE_FOUND', 'the restore point is damaged', {
    hint: `run "ovirt-cbt verify --vm NAME --point ${pointId}" for the blocks; the next backup stores them anew`,
  });
}

/** Read-only, for this machine alone. A lease keeps the files of the point meanwhile. */
async function serve(
  { pointId, diskId }: RequestOf<'export'>,
  context: TaskContext,
): Promise<void> {
  const { job, vm, signal, onMessage, logger } = context;
  // The end of the export removes the lease, so a stop must not end requests of the store.
  const opening = new AbortController();
  const stop = (): void => opening.abort(signal.reason);
  signal.addEventListener('abort', stop);
  const store = storeOptionsOf(job.repository, { signal: opening.signal });
  await using repository = await openRepository(job.repository.place, {
    store,
    workers: job.backup.workers,
  });
  const point = await repository.point(vm, pointId);
  const server = await point.serveNbd([point.disk(diskId)], {
    address: { host: '127.0.0.1', port: 0 },
    onProblem: (text) => logger.error({ vm, pointId }, text),
    onMessage,
    signal,
  });
  signal.removeEventListener('abort', stop);
  context.onResults(server.uris);
  if (!signal.aborted) await once(signal, 'abort');
  await server.close();
  throw signal.reason;
}
