/** Commands for an engine: preflight, cleanup, and the simulated engine. */
import { type Command, Option } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import type { PreflightVmsOptions } from '../../sessions/backup/vm/preflightVms.ts';
import type { SessionMode } from '../../sessions/backup/parent/parentChoice.ts';
import {
  collect,
  type CommonFlags,
  parseCount,
  repoOption,
  withCommonFlags,
} from '../flags/commonFlags.ts';
import { type StoreFlags, storeOf, withLockFlags, withWriteFlags } from '../flags/storeFlags.ts';
import { CommandContext } from '../context.ts';
import { type EngineFlags, readEngineSettings, withEngineFlags } from '../flags/engineFlags.ts';
import {
  onlyVm,
  readVmSelection,
  selectsVms,
  type VmFlags,
  withVmFlags,
} from '../flags/vmFlags.ts';
import { printable } from '../output/text.ts';
import { formatCleanup, formatPreflight, formatPreflights } from '../output/engineOutput.ts';

type Done = (exitCode: number) => void;

interface PreflightFlags extends CommonFlags, EngineFlags, VmFlags, StoreFlags {
  readonly repo: string;
  readonly mode: SessionMode;
  readonly disk?: readonly string[];
  readonly excludeDisk?: readonly string[];
}

async function preflight(flags: PreflightFlags, context: CommandContext): Promise<number> {
  if (!selectsVms(flags)) {
    throw new UsageError('USAGE_INVALID_OPTION', 'no VM selected', {
      hint: 'use --vm NAME, --all, --search or --vm-file',
    });
  }
  const options = {
    engine: await readEngineSettings(flags, process.env, context.signal),
    repository: flags.repo,
    store: storeOf(flags),
    mode: flags.mode,
    disks: flags.disk,
    excludeDisks: flags.excludeDisk,
    ...context.sessionOptions,
  };
  const only = onlyVm(flags);
  if (only === undefined) {
    return await preflightAll(
      { ...options, select: await readVmSelection(flags, context.signal) },
      context,
    );
  }
  const { preflightVm } = await import('../../sessions/backup/vm/preflightVm.ts');
  const report = await preflightVm({ ...options, vm: only });
  context.print(report, formatPreflight(report, context.form));
  return report.canStart ? context.exitCode(false) : EXIT_CODES.doneWithProblems;
}

async function preflightAll(
  options: PreflightVmsOptions,
  context: CommandContext,
): Promise<number> {
  const { preflightVms } = await import('../../sessions/backup/vm/preflightVms.ts');
  const report = await preflightVms(options);
  const { reports, failures } = report;
  const failed = failures.map(({ vmName, code, message, hint }) =>
    printable(`${vmName}: ${message} (${code}) hint: ${hint}`),
  );
  const tables = formatPreflights(reports, context.form);
  context.print(report, [...tables, ...failed].join('\n\n'));
  const isGood = failures.length === 0 && reports.every(({ canStart }) => canStart);
  return isGood ? context.exitCode(false) : EXIT_CODES.doneWithProblems;
}

export function addPreflight(program: Command, done: Done): void {
  withWriteFlags(withVmFlags(withEngineFlags(withCommonFlags(program.command('preflight')))))
    .description('show how the next session would read each disk of a VM, and why')
    .addOption(repoOption('repository; may be new'))
    .addOption(
      new Option('--mode <mode>', 'mode of the planned session')
        .choices(['auto', 'full', 'incremental'])
        .default('auto'),
    )
    .option('--disk <id>', 'only this disk, by id or name; may be repeated', collect)
    .option('--exclude-disk <id>', 'all disks except this one; may be repeated', collect)
    .action(async (flags: PreflightFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => preflight(flags, context)));
    });
}

interface CleanupFlags extends CommonFlags, EngineFlags, StoreFlags {
  readonly vm: string;
  readonly repo: string;
}

export function addCleanup(program: Command, done: Done): void {
  withLockFlags(withEngineFlags(withCommonFlags(program.command('cleanup'))))
    .description('clean up after stopped sessions and restores of a VM')
    .requiredOption('--vm <name>', 'VM by name or id, as in the repository')
    .addOption(repoOption())
    .action(async (flags: CleanupFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        context.leftText = 'the cleanup is not complete; run the command again';
        const { cleanupVm } = await import('../../sessions/cleanup/cleanupVm.ts');
        const report = await cleanupVm({
          engine: await readEngineSettings(flags, process.env, context.signal),
          repository: flags.repo,
          store: storeOf(flags),
          vm: flags.vm,
          ...context.sessionOptions,
        });
        context.print(report, formatCleanup(report, context.form));
        return report.left.length > 0 ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
      });
      done(exitCode);
    });
}

export function addLab(program: Command, done: Done): void {
  withCommonFlags(program.command('lab'))
    .description('start a simulated engine with sample VMs; Ctrl-C ends it')
    .option('--port <n>', 'port of the engine on 127.0.0.1 (default: any)', parseCount('--port'))
    .action(async (flags: CommonFlags & { readonly port?: number }) => {
      const context = new CommandContext(flags);
      const { serveLab } = await import('./lab.ts');
      done(await context.execute(() => serveLab(context, flags.port)));
    });
}
