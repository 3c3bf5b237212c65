/**
 * All commands: flags and help. A command loads the engine client or the lab only when it is
 * executed. This halves the start time of the others.
 */
import { Command, Help, type Option } from 'commander';
import { addCheckConfig } from './commands/jobs/checkConfigCommand.ts';
import { addNotifyTest } from './commands/jobs/notifyTestCommand.ts';
import { addTimers } from './commands/jobs/timersCommand.ts';
import { addCopy } from './commands/copyCommand.ts';
import { addCompletion } from './commands/completionCommand.ts';
import { addBackup } from './commands/backupCommand.ts';
import { addPrune, addSynthesize } from './commands/chainCommands.ts';
import { packageVersion } from '../core/installation.ts';
import { refuseRepeats } from './repeatedOptions.ts';
import { type CommonFlags, withCommonFlags } from './flags/commonFlags.ts';
import { CommandContext } from './context.ts';
import { EXIT_CODE_MEANINGS } from './exitCodeMeanings.ts';
import { addCleanup, addLab, addPreflight } from './commands/engineCommands.ts';
import { addInspect, addRepositoryCommands, addVerify } from './commands/repositoryCommands.ts';
import { addKeyCommand } from './commands/keyCommand.ts';
import { addHistory } from './commands/jobs/historyCommand.ts';
import { addReport } from './commands/jobs/reportCommand.ts';
import { addExport } from './commands/exportCommand.ts';
import { addFiles } from './commands/filesCommand.ts';
import { addRestore } from './commands/restoreCommand.ts';
import { addDaemon } from './commands/jobs/daemonCommand.ts';
import { addRun } from './commands/jobs/runCommand.ts';
import { addWorker } from './commands/jobs/workerCommand.ts';
import { addStream } from './commands/streamCommand.ts';
import { resultOutput } from './output/standardOutputs.ts';
import { fold } from './output/text.ts';

/** Width of the help, as that of its other parts. */
const DEFAULT_HELP_COLUMNS = 80;

function exitHelp(): string {
  const { isTTY, columns } = process.stdout;
  const width = (isTTY && columns) || DEFAULT_HELP_COLUMNS;
  const codes = EXIT_CODE_MEANINGS.map(([code, meaning]) =>
    fold(`${String(code).padStart(5)}  ${meaning}`, width, 7),
  );
  const last = 'Any other code is a failure. Codes of errors and messages: docs/errors.md.';
  return ['', 'Exit codes:', ...codes, fold(last, width)].join('\n');
}

function addDemo(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('demo'))
    .description('show full, increment, lost checkpoint and restore on the simulated engine')
    .action(async (flags: CommonFlags) => {
      const context = new CommandContext(flags);
      const { playDemo } = await import('./commands/demo.ts');
      done(await context.execute(() => playDemo(context)));
    });
}

/** Marks required options, which the parser's own help does not. */
function describeOption(option: Option): string {
  const text = new Help().optionDescription(option);
  return option.mandatory ? `${text} (required)` : text;
}

/** Builds the program. `done` gets the exit code of the executed command. */
export function createProgram(done: (exitCode: number) => void): Command {
  const program = new Command('ovirt-cbt')
    .description('Backup of oVirt-family VM disks by changed blocks, into VBK containers')
    .version(packageVersion())
    .showHelpAfterError(false)
    .addHelpText('after', exitHelp);
  addBackup(program, done);
  addRestore(program, done);
  addStream(program, done);
  addExport(program, done);
  addFiles(program, done);
  addPreflight(program, done);
  addCleanup(program, done);
  addRepositoryCommands(program, done);
  addInspect(program, done);
  addVerify(program, done);
  addPrune(program, done);
  addSynthesize(program, done);
  addCopy(program, done);
  addKeyCommand(program, done);
  addCompletion(program, done);
  addRun(program, done);
  addCheckConfig(program, done);
  addTimers(program, done);
  addNotifyTest(program, done);
  addHistory(program, done);
  addReport(program, done);
  addDaemon(program, done);
  addWorker(program, done);
  addLab(program, done);
  addDemo(program, done);
  for (const command of [program, ...program.commands]) {
    refuseRepeats(command);
    command
      .configureHelp({ optionDescription: describeOption })
      .exitOverride()
      .configureOutput({
        writeOut: (text) => resultOutput.write(text),
        writeErr: () => {},
      });
  }
  return program;
}
