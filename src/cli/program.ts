/**
 * All commands: flags and help. A command loads the engine client or the lab only when it is
 * executed. This halves the start time of the others.
 */
import { readFileSync } from 'node:fs';
import { Command, Help, type Option } from 'commander';
import { addCopy } from './commands/copyCommand.ts';
import { addBackup } from './commands/backupCommand.ts';
import { addPrune, addSynthesize } from './commands/chainCommands.ts';
import { PACKAGE_FOLDER } from './packageFolder.ts';
import { refuseRepeats } from './repeatedOptions.ts';
import { type CommonFlags, withCommonFlags } from './flags/commonFlags.ts';
import { CommandContext } from './context.ts';
import { addCleanup, addLab, addPreflight } from './commands/engineCommands.ts';
import { addInspect, addRepositoryCommands, addVerify } from './commands/repositoryCommands.ts';
import { addKeyCommand } from './commands/keyCommand.ts';
import { addExport } from './commands/exportCommand.ts';
import { addFiles } from './commands/filesCommand.ts';
import { addRestore } from './commands/restoreCommand.ts';
import { addStream } from './commands/streamCommand.ts';
import { resultOutput } from './output/standardOutputs.ts';
import { fold } from './output/text.ts';

const EXIT_CODE_LINES = [
  '0 done',
  '1 failed',
  '2 wrong usage',
  '3 done, but with an error in the session log, or with a warning under --strict, or some VMs failed',
  '10 repository not found',
  '11 repository locked',
  '12 the engine refuses the login or lacks rights',
  '13 verify found damage',
  '14 engine or host cannot be reached or is not trusted',
  '70 internal error',
  '129 stopped by SIGHUP (the terminal is gone)',
  '130 stopped by Ctrl-C',
  '143 stopped by SIGTERM',
];

/** Width of the help, as that of its other parts. */
const DEFAULT_HELP_COLUMNS = 80;

function exitHelp(): string {
  const { isTTY, columns } = process.stdout;
  const width = (isTTY && columns) || DEFAULT_HELP_COLUMNS;
  const codes = EXIT_CODE_LINES.map((line) => {
    const [code = '', ...words] = line.split(' ');
    return fold(`${code.padStart(5)}  ${words.join(' ')}`, width, 7);
  });
  const last = 'Any other code is a failure. Codes of errors and messages: docs/errors.md.';
  return ['', 'Exit codes:', ...codes, fold(last, width)].join('\n');
}

function version(): string {
  const text = readFileSync(new URL('package.json', PACKAGE_FOLDER), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
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
    .version(version())
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
