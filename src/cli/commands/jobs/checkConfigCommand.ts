/** `check-config`: the jobs of a job file, their next times, and all problems. */
import type { Command } from 'commander';
import { EXIT_CODES, exitCodeOf } from '../../../core/errors.ts';
import type { ConnectionCheck } from '../../../jobs/check/checkConnections.ts';
import type { LoadedJobFile } from '../../../jobs/config/readJobFile.ts';
import type { JobConfig, JobFile } from '../../../jobs/jobFile.ts';
import { CommandContext } from '../../context.ts';
import { type CommonFlags, withCommonFlags } from '../../flags/commonFlags.ts';
import { type JobFlags, jobFileOf, withJobFile } from '../../flags/jobFlags.ts';
import type { ConfigReport, JobPreview } from '../../output/jobs/configOutput.ts';

const SHOWN_TIMES = 3;

interface CheckFlags extends CommonFlags, JobFlags {
  readonly connect?: boolean;
}

async function previews(jobs: Iterable<JobConfig>): Promise<JobPreview[]> {
  const { nextSlot, zoneOf } = await import('../../../jobs/schedule/schedule.ts');
  const { previewOf } = await import('../../output/jobs/configOutput.ts');
  return [...jobs].map((job) => {
    const times: Date[] = [];
    let time = nextSlot(job, Date.now());
    while (time && times.length < SHOWN_TIMES) {
      times.push(time);
      time = nextSlot(job, time.getTime());
    }
    return previewOf(job, zoneOf(job), times);
  });
}

async function connect(file: JobFile, context: CommandContext): Promise<ConnectionCheck[]> {
  const { checkConnections } = await import('../../../jobs/check/checkConnections.ts');
  return await checkConnections(file, context.sessionOptions);
}

/** The exit code of the first failure, since it tells whether a login or a server is to blame. */
function exitCode(report: ConfigReport, checks: readonly ConnectionCheck[]): number {
  const failed = checks.find(({ failure }) => failure !== undefined);
  if (failed) return exitCodeOf(failed.failure);
  return report.problems.length > 0 ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
}

/** With --json the problems of a file that cannot be used are on stdout too, as data. */
async function load(file: string, context: CommandContext): Promise<LoadedJobFile> {
  const { loadJobFile } = await import('../../../jobs/config/readJobFile.ts');
  const { JobFileError } = await import('../../../jobs/config/problems.ts');
  try {
    return await loadJobFile(file, context.signal);
  } catch (error) {
    if (!(error instanceof JobFileError) || !context.isJson) throw error;
    const { problems } = error;
    const report = {
      type: 'check_config',
      file,
      jobs: [],
      problems,
      unusedReceivers: [],
      jobsForWorkers: [],
      connections: [],
    };
    context.print(report, '');
    throw error;
  }
}

async function checkConfig(
  file: string,
  flags: CheckFlags,
  context: CommandContext,
): Promise<number> {
  const loaded = await load(file, context);
  const { checkFiles } = await import('../../../jobs/check/checkFiles.ts');
  const { formatConfig, jobsForWorkers, resultOf, unusedReceivers } = await import(
    '../../output/jobs/configOutput.ts'
  );
  const checks = flags.connect ? await connect(loaded.file, context) : [];
  const report: ConfigReport = {
    type: 'check_config',
    file: loaded.file.path,
    jobs: await previews(loaded.file.jobs.values()),
    problems: await checkFiles(loaded),
    unusedReceivers: unusedReceivers(loaded.file),
    jobsForWorkers: jobsForWorkers(loaded.file),
    connections: checks.map(resultOf),
  };
  context.print(report, formatConfig(loaded.file, report, context.form));
  return exitCode(report, checks);
}

export function addCheckConfig(program: Command, done: (exitCode: number) => void): void {
  withJobFile(withCommonFlags(program.command('check-config')))
    .argument('[file]', 'job file; the same as --file')
    .description('check a job file and the files it names; show the jobs and their next times')
    .option('--connect', 'also log in to the engines, find the VMs, and open the repositories')
    .action(async (named: string | undefined, flags: CheckFlags) => {
      const context = new CommandContext(flags);
      const file = named === undefined ? flags : { file: named };
      done(await context.execute(() => checkConfig(jobFileOf(file), flags, context)));
    });
}
