/** The command `report`: one past session or run, as text or as a page. */
import type { Command } from 'commander';
import { EXIT_CODES, UsageError } from '../../../core/errors.ts';
import type { Repository } from '../../../repository/repository.ts';
import type { BackupRecord, SessionRecord } from '../../../sessions/history/sessionRecord.ts';
import { CommandContext } from '../../context.ts';
import { type CommonFlags, repoOption, withCommonFlags } from '../../flags/commonFlags.ts';
import { type StoreFlags, storeOf, withStoreFlags } from '../../flags/storeFlags.ts';
import { formatSession } from '../../output/sessionOutput.ts';
import { formatLine } from '../../output/table.ts';

interface ReportFlags extends CommonFlags, StoreFlags {
  readonly repo: string;
  readonly vm?: string;
  readonly session?: string;
  readonly point?: string;
  readonly job?: string;
  readonly run?: string;
  readonly output?: string;
}

/** A report in the three forms. The page is made only when it is wanted. */
interface Shown {
  readonly report: unknown;
  readonly text: string;
  readonly page: () => Promise<string>;
}

function misuse(message: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', message, { hint });
}

function checkFlags({ vm, session, point, job, run }: ReportFlags): void {
  if ((vm === undefined) === (job === undefined)) {
    throw misuse(
      vm === undefined ? 'nothing to report' : '--vm and --job are both given',
      'use --vm NAME for a session, or --job NAME for a run',
    );
  }
  if (session !== undefined && point !== undefined) {
    throw misuse('--session and --point are both given', 'use one of them');
  }
  if (job !== undefined && (session ?? point) !== undefined) {
    throw misuse('--session and --point belong to --vm', 'use --run ID with --job');
  }
  if (vm !== undefined && run !== undefined) {
    throw misuse('--run belongs to --job', 'use --session ID or --point ID with --vm');
  }
}

async function backupOfPoint(
  repository: Repository,
  vm: string,
  selector: string,
  context: CommandContext,
): Promise<BackupRecord> {
  const { readPointReport } = await import('../../../sessions/history/listReports.ts');
  const { selectPoint } = await import('../../../sessions/shared/selectPoint.ts');
  const folder = await repository.requireVm(vm);
  const point = selectPoint(await folder.requireMetadata(), selector);
  const record = await readPointReport(folder, point, context);
  if (record) return record;
  throw new UsageError(
    'USAGE_NOT_FOUND',
    `no report of restore point ${point.number} (${point.pointId}) of ${vm}`,
    { hint: 'points of copies and of older versions have none; "ovirt-cbt list" shows the point' },
  );
}

/** The newest backup of the VM, also one that failed. */
async function latestBackup(
  repository: Repository,
  vm: string,
  context: CommandContext,
): Promise<SessionRecord> {
  const { listSessionReports } = await import('../../../sessions/history/listReports.ts');
  const { onMessage } = context;
  const options = { vm, type: 'backup', limit: 1, onMessage } as const;
  const [latest] = await listSessionReports(repository, options);
  if (latest) return latest;
  throw new UsageError('USAGE_NOT_FOUND', `no report of a backup of ${vm}`, {
    hint: 'sessions of older versions left no reports; "ovirt-cbt history" shows what there is',
  });
}

async function findSession(
  repository: Repository,
  vm: string,
  flags: ReportFlags,
  context: CommandContext,
): Promise<SessionRecord> {
  const { session, point } = flags;
  if (point !== undefined) return await backupOfPoint(repository, vm, point, context);
  if (session === undefined) return await latestBackup(repository, vm, context);
  const { readSessionReport } = await import('../../../sessions/history/listReports.ts');
  return await readSessionReport(repository, vm, session, context);
}

async function textOf(record: SessionRecord, context: CommandContext): Promise<string> {
  const { form } = context;
  if (record.outcome === 'failed') {
    const { vmName, type, message, code, hint } = record;
    return formatLine(`${vmName}: ${type} failed: ${message} (${code}) ${hint}`, form);
  }
  if (record.type === 'backup') return formatSession(record.report, form);
  const { formatSessionHistory } = await import('../../output/jobs/historyOutput.ts');
  return formatSessionHistory([record], form);
}

async function showSession(
  repository: Repository,
  vm: string,
  flags: ReportFlags,
  context: CommandContext,
): Promise<Shown> {
  const record = await findSession(repository, vm, flags, context);
  const isBackup = record.outcome === 'ok' && record.type === 'backup';
  const page = async (): Promise<string> => {
    const { sessionPage } = await import('../../../report/sessionPage.ts');
    const { pointsOf } = await import('../../../report/pastPoints.ts');
    const points = await pointsOf(await repository.requireVm(vm));
    return sessionPage({ session: isBackup ? record.report : record, points });
  };
  return { report: record, text: await textOf(record, context), page };
}

async function showRun(
  repository: Repository,
  job: string,
  flags: ReportFlags,
  context: CommandContext,
): Promise<Shown> {
  const { readRunReport } = await import('../../../jobs/runReports.ts');
  const { lastPointsOf } = await import('../../../report/pastPoints.ts');
  const { runText } = await import('../../../report/runText.ts');
  const report = await readRunReport(repository, job, flags.run, context);
  const failed = report.vms.filter((vm) => vm.report === undefined);
  const lastPoints = await lastPointsOf(repository, failed, new Date(report.startedAt));
  const page = async (): Promise<string> => {
    const { runPage } = await import('../../../report/runPage.ts');
    return runPage(report, lastPoints);
  };
  return { report, text: runText(report, lastPoints), page };
}

async function showReport(flags: ReportFlags, context: CommandContext): Promise<void> {
  checkFlags(flags);
  const { vm, job = '', output } = flags;
  const { checkPageFile, writePageFile } = await import('../../../report/pageFile.ts');
  if (output !== undefined) await checkPageFile(output);
  const { Repository } = await import('../../../repository/repository.ts');
  await using repository = await Repository.open(flags.repo, storeOf(flags, context));
  const shown =
    vm === undefined
      ? await showRun(repository, job, flags, context)
      : await showSession(repository, vm, flags, context);
  if (output !== undefined) await writePageFile(output, await shown.page());
  const { form } = context;
  const text = output === undefined ? shown.text : formatLine(`page written to ${output}`, form);
  context.print(shown.report, text);
}

export function addReport(program: Command, done: (exitCode: number) => void): void {
  withStoreFlags(withCommonFlags(program.command('report')))
    .description('show a past session of a VM, or a past run of a job; or write it as an HTML page')
    .addOption(repoOption())
    .option('--vm <name>', 'the newest backup of this VM, by name or id')
    .option('--session <id>', 'with --vm: this session instead (id, its beginning, or latest)')
    .option('--point <id>', 'with --vm: the session that made this point (id, number or latest)')
    .option('--job <name>', 'the newest run of this job')
    .option('--run <id>', 'with --job: this run instead (id or its beginning)')
    .option('--output <file>', 'write a page that needs no network into this file (HTML)')
    .action(async (flags: ReportFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        await showReport(flags, context);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}
