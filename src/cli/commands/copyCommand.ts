/** `copy`: restore points go to another repository. */
import { type Command, Option } from 'commander';
import { EXIT_CODES, IntegrityError, UsageError } from '../../core/errors.ts';
import type { CopyReport } from '../../sessions/copy/copyReport.ts';
import {
  type CommonFlags,
  parseSize,
  withCommonFlags,
  workersOption,
} from '../flags/commonFlags.ts';
import { CommandContext, throwFirst } from '../context.ts';
import { LEFT_IN_REPOSITORY } from '../leftTexts.ts';
import { formatCopy } from '../output/chainOutput.ts';
import { createProgressLine } from '../output/progress.ts';
import { type StoreFlags, storeOf, withWriteFlags } from '../flags/storeFlags.ts';

interface CopyFlags extends CommonFlags, StoreFlags {
  readonly from: string;
  readonly to: string;
  readonly fromKeyFile?: string;
  readonly toKeyFile?: string;
  readonly vm?: string;
  readonly point?: string;
  readonly missing?: boolean;
  readonly verify?: boolean;
  readonly limitRate?: number;
  readonly workers?: number;
}

function checkUsage(
  { keyFile, fromKeyFile, toKeyFile, point, missing }: CopyFlags,
  command: Command,
): void {
  if (point !== undefined && missing) {
    throw new UsageError('USAGE_INVALID_OPTION', '--point and --missing exclude each other', {
      hint: 'without --point all missing points are copied',
    });
  }
  const isGiven = keyFile !== undefined && command.getOptionValueSource('keyFile') !== 'env';
  if (!isGiven || (fromKeyFile === undefined && toKeyFile === undefined)) return;
  throw new UsageError('USAGE_INVALID_OPTION', '--key-file is of both repositories', {
    hint: 'give --from-key-file and --to-key-file instead',
  });
}

async function copy(flags: CopyFlags, command: Command, context: CommandContext): Promise<number> {
  checkUsage(flags, command);
  const line = createProgressLine('copy', context.isJson);
  context.leftText = LEFT_IN_REPOSITORY;
  const { copyPoints } = await import('../../sessions/copy/copyPoints.ts');
  const { cache, noLock, keyFile, immutable } = storeOf(flags);
  const hasOwnKeys = flags.fromKeyFile !== undefined || flags.toKeyFile !== undefined;
  const common = hasOwnKeys ? undefined : keyFile;
  const report = await copyPoints({
    from: flags.from,
    to: flags.to,
    fromStore: { cache, noLock, keyFile: flags.fromKeyFile ?? common },
    toStore: { cache, noLock, keyFile: flags.toKeyFile ?? common, immutable },
    vm: flags.vm,
    point: flags.point,
    verify: flags.verify,
    bytesPerSecond: flags.limitRate,
    workers: flags.workers,
    ...context.sessionOptions,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  context.print(report, formatCopy(report, context.form));
  return exitCodeOf(report, context.exitCode(false));
}

/** Damage fails the command only when nothing else could be done. */
function exitCodeOf(report: CopyReport, exitCode: number): number {
  const { vms, failures } = report;
  const damaged = vms.flatMap((vm) => vm.failed);
  const isUseful = vms.some((vm) => vm.copied.length + vm.presentCount > 0);
  if (!isUseful) throwFirst(failures);
  const [first] = damaged;
  if (!isUseful && first) throw new IntegrityError('INTEGRITY_DAMAGE_FOUND', first.message, first);
  return failures.length + damaged.length > 0 ? EXIT_CODES.doneWithProblems : exitCode;
}

export function addCopy(program: Command, done: (exitCode: number) => void): void {
  withWriteFlags(withCommonFlags(program.command('copy')))
    .description('copy restore points to another repository, for example off-site')
    .requiredOption('--from <dir>', 'repository that is read: folder or s3://bucket/prefix')
    .requiredOption('--to <dir>', 'repository that gets the points; a new or empty one is made')
    .option('--from-key-file <file>', 'key of --from, where the two differ')
    .option('--to-key-file <file>', 'key of --to; a new repository becomes sealed with it')
    .option('--vm <name>', 'VM name or id (default: every VM)')
    .option('--point <id>', 'only this point: number, id, its beginning, or latest')
    .option('--missing', 'all points that --to does not hold (the default)')
    .option('--verify', 'read each new container again at --to, and check all of it')
    .addOption(
      new Option('--limit-rate <size>', 'stored bytes a second at most, e.g. 20MiB').argParser(
        parseSize('--limit-rate'),
      ),
    )
    .addOption(workersOption())
    .action(async (flags: CopyFlags, command: Command) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => copy(flags, command, context)));
    });
}
