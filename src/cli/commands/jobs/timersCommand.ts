/** `timers`: systemd units for the jobs of a job file. */
import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { EXIT_CODES, UsageError } from '../../../core/errors.ts';
import { PACKAGE_FOLDER } from '../../../core/installation.ts';
import type { JobFile } from '../../../jobs/jobFile.ts';
import type { Unit } from '../../../jobs/timers/units.ts';
import { CommandContext } from '../../context.ts';
import { type CommonFlags, withCommonFlags } from '../../flags/commonFlags.ts';
import { type JobFlags, jobFileOf, withJobFile } from '../../flags/jobFlags.ts';

interface TimersFlags extends CommonFlags, JobFlags {
  readonly print?: boolean;
  readonly install?: boolean;
  readonly directory?: string;
  readonly user?: boolean;
  readonly daemon?: boolean;
}

interface TimersReport {
  readonly type: 'timers';
  readonly file: string;
  /** Undefined with `--print`. */
  readonly directory: string | undefined;
  readonly units: readonly Unit[];
  /** Jobs that get no timer. */
  readonly withoutSchedule: readonly string[];
  /** Units of the directory that belong to no job any more. */
  readonly leftUnits: readonly string[];
}

/** Links are followed, because one that a package manager changes must not end the timers. */
function programOf(): string[] {
  return [
    process.execPath,
    realpathSync(fileURLToPath(new URL('dist/cli/launch.cjs', PACKAGE_FOLDER))),
  ];
}

async function unitsOf(file: JobFile, flags: TimersFlags): Promise<Unit[]> {
  const { daemonUnit, jobUnits } = await import('../../../jobs/timers/units.ts');
  const options = { program: programOf(), isOfUser: flags.user ?? false };
  if (flags.daemon) return [daemonUnit(file, options)];
  const units = [...file.jobs.values()].flatMap((job) => jobUnits(file, job, options));
  if (units.length > 0) return units;
  throw new UsageError('USAGE_INVALID_OPTION', 'no job of the job file has a schedule', {
    hint: `add "schedule: '0 1 * * *'" to a job of ${file.path}`,
  });
}

/** A service with limits cannot start while a folder that it writes to is missing. */
async function noteMissing(
  file: JobFile,
  flags: TimersFlags,
  context: CommandContext,
): Promise<void> {
  if (flags.user) return;
  const { writtenFolders } = await import('../../../jobs/timers/units.ts');
  const jobs = [...file.jobs.values()].filter(({ schedule }) => flags.daemon || schedule);
  for (const folder of writtenFolders(file, jobs)) {
    if (existsSync(folder)) continue;
    context.note(
      'folder_missing',
      `${folder} does not exist: make it before the first run`,
      'warn',
    );
  }
}

function printText(units: readonly Unit[]): string {
  return units
    .map(({ name, text }) => `# ${name}\n${text}`)
    .join('\n')
    .trimEnd();
}

function installText(
  { directory, units, withoutSchedule, leftUnits }: TimersReport,
  user: boolean,
): string {
  const systemctl = user ? 'systemctl --user' : 'systemctl';
  const started = units.map(({ name }) => name).filter((name) => !isOneshot(name, units));
  const left = leftUnits.filter((name) => name.endsWith('.timer') || name === 'ovirt-cbt.service');
  return [
    `written to ${directory}: ${units.map(({ name }) => name).join(', ')}`,
    ...withoutSchedule.map((job) => `job ${job} has no schedule, so it gets no timer`),
    ...left.map((name) => `${name} is not needed any more: ${systemctl} disable --now ${name}`),
    'next:',
    `  ${systemctl} daemon-reload`,
    `  ${systemctl} enable --now ${started.join(' ')}`,
  ].join('\n');
}

/** A service that its timer starts. */
function isOneshot(name: string, units: readonly Unit[]): boolean {
  const timer = name.replace(/\.service$/, '.timer');
  return timer !== name && units.some((unit) => unit.name === timer);
}

async function makeTimers(flags: TimersFlags, context: CommandContext): Promise<number> {
  if (flags.print === flags.install) {
    throw new UsageError('USAGE_INVALID_OPTION', 'give either --print or --install', {
      hint: '--print shows the units; --install writes them into a folder of systemd',
    });
  }
  const { readJobFile } = await import('../../../jobs/config/readJobFile.ts');
  const { installUnits, leftUnits, unitFolder } = await import(
    '../../../jobs/timers/installUnits.ts'
  );
  const file = await readJobFile(jobFileOf(flags), context.signal);
  const units = await unitsOf(file, flags);
  const directory = flags.directory ?? unitFolder(flags.user ?? false);
  if (flags.install) await installUnits(directory, units);
  const jobs = flags.daemon ? [] : [...file.jobs.values()];
  const report: TimersReport = {
    type: 'timers',
    file: file.path,
    directory: flags.install ? directory : undefined,
    units,
    withoutSchedule: jobs.filter(({ schedule }) => schedule === undefined).map(({ name }) => name),
    leftUnits: flags.install ? await leftUnits(directory, file.path, units) : [],
  };
  await noteMissing(file, flags, context);
  context.print(
    report,
    flags.install ? installText(report, flags.user ?? false) : printText(units),
  );
  return EXIT_CODES.done;
}

export function addTimers(program: Command, done: (exitCode: number) => void): void {
  withJobFile(withCommonFlags(program.command('timers')))
    .description('make systemd units that run the jobs of a job file at their times')
    .option('--print', 'print the units')
    .option('--install', 'write the units; "systemctl enable" starts them')
    .option('--directory <dir>', 'with --install: folder of the units (default: that of systemd)')
    .option('--user', 'units for the service manager of a user, without its limits')
    .option('--daemon', 'one service that runs the daemon, instead of a timer for each job')
    .action(async (flags: TimersFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => makeTimers(flags, context)));
    });
}
