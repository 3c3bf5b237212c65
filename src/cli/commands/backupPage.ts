/** The page of a backup, for its option --report. */
import { BackupError, type ErrorCode, EXIT_CODES, toFailure } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { isUnreachedCode } from '../../core/systemErrors.ts';
import type { JobReport } from '../../sessions/backup/backupVms.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { StoreOptions } from '../../store/store.ts';
import type { CommandContext } from '../context.ts';

export interface BackupPage {
  readonly file: string;
  /** Path or URL. */
  readonly repository: string;
  readonly store: StoreOptions;
  /** Name of the VM on the page of a failed session. */
  readonly vmName: string;
}

export interface BackupResult {
  readonly report: SessionReport | JobReport;
  readonly exitCode: number;
}

type OnMessage = (message: SessionMessage) => void;
type Work = (onMessage: OnMessage) => Promise<BackupResult>;

/**
 * Runs a backup, and writes its page, also when it fails. A page that cannot be written is told:
 * the restore point is there.
 *
 * @param page - undefined for no page.
 * @returns the exit code: that of the backup, or 3 without the page.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`, before the backup, and what `work` throws
 */
export async function withPage(
  page: BackupPage | undefined,
  context: CommandContext,
  work: Work,
): Promise<number> {
  if (!page) return (await work(context.onMessage)).exitCode;
  const { checkPageFile } = await import('../../report/pageFile.ts');
  await checkPageFile(page.file);
  const startedAt = new Date();
  const messages: SessionMessage[] = [];
  const onMessage: OnMessage = (message) => {
    messages.push(message);
    context.onMessage(message);
  };
  let result: BackupResult;
  try {
    result = await work(onMessage);
  } catch (error) {
    const failure = toFailure(error, context.signal);
    await write(page, context, () => failedPage(page, failure, startedAt, messages));
    throw failure;
  }
  const isWritten = await write(page, context, () => donePage(page, result.report, startedAt));
  return isWritten || result.exitCode !== EXIT_CODES.done
    ? result.exitCode
    : EXIT_CODES.doneWithProblems;
}

async function write(
  { file }: BackupPage,
  context: CommandContext,
  make: () => Promise<string>,
): Promise<boolean> {
  const { writePageFile } = await import('../../report/pageFile.ts');
  try {
    await writePageFile(file, await make());
    return true;
  } catch (error) {
    const { code, message, hint } = toFailure(error, context.signal);
    context.note('report_failed', `no page: ${message} (${code}) ${hint}`, 'error', { code, file });
    return false;
  }
}

/** Points of the VM of a failed session. Undefined when nothing good can come of another try. */
async function knownPoints(
  { repository: place, store, vmName }: BackupPage,
  code: ErrorCode,
): Promise<readonly RestorePoint[] | undefined> {
  if (isUnreachedCode(code) || code === 'CANCELLED') return undefined;
  const { Repository } = await import('../../repository/repository.ts');
  const { pointsOf } = await import('../../report/pastPoints.ts');
  try {
    await using repository = await Repository.open(place, store);
    return await pointsOf(await repository.requireVm(vmName));
  } catch (error) {
    if (error instanceof BackupError) return undefined;
    throw error;
  }
}

async function failedPage(
  page: BackupPage,
  { code, message, hint }: BackupError,
  startedAt: Date,
  messages: readonly SessionMessage[],
): Promise<string> {
  const { sessionPage } = await import('../../report/sessionPage.ts');
  return sessionPage({
    points: await knownPoints(page, code),
    session: {
      type: 'backup',
      outcome: 'failed',
      sessionId: '',
      vmName: page.vmName,
      vmId: '',
      startedAt: startedAt.toISOString(),
      durationSeconds: (Date.now() - startedAt.getTime()) / 1000,
      code,
      message,
      hint,
      messages,
    },
  });
}

async function donePage(
  { repository: place, store }: BackupPage,
  report: SessionReport | JobReport,
  startedAt: Date,
): Promise<string> {
  const { Repository } = await import('../../repository/repository.ts');
  const { lastPointsOf, pointsOf } = await import('../../report/pastPoints.ts');
  await using repository = await Repository.open(place, store);
  const session = report.type === 'backup' ? report : onlySession(report);
  if (session) {
    const { sessionPage } = await import('../../report/sessionPage.ts');
    const points = await pointsOf(await repository.requireVm(session.vmId));
    return sessionPage({ session, points });
  }
  const { runOfBackup } = await import('../../report/jobRun.ts');
  const { runPage } = await import('../../report/runPage.ts');
  const run = runOfBackup(report as JobReport, repository.root, startedAt, new Date());
  const failed = run.vms.filter((vm) => vm.report === undefined);
  return runPage(run, await lastPointsOf(repository, failed, startedAt));
}

function onlySession({ sessions, failures }: JobReport): SessionReport | undefined {
  return sessions.length === 1 && failures.length === 0 ? sessions[0] : undefined;
}
