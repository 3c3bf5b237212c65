/** Turns arguments into a command, and its end into an exit code. */
import { CommanderError } from 'commander';
import { BackupError, EXIT_CODES, exitCodeOf, toFailure, UsageError } from '../core/errors.ts';
import { printError } from './context.ts';
import { createProgram } from './program.ts';

function usageFailure(error: CommanderError): BackupError {
  const isCommand = error.code === 'commander.unknownCommand' || error.code === 'commander.help';
  const text = error.message.replace(/^error: /, '');
  return new UsageError(
    isCommand ? 'USAGE_UNKNOWN_COMMAND' : 'USAGE_INVALID_OPTION',
    isCommand && error.code === 'commander.help' ? 'no command given' : text,
    { hint: 'see "ovirt-cbt --help"' },
  );
}

/** Runs the command that `args` name, as behind `ovirt-cbt`, and prints what it has to say; the exit code. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let exitCode: number = EXIT_CODES.done;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Help and version end through an error of commander that carries exit code 0.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_CODES.done;
    const failure = error instanceof CommanderError ? usageFailure(error) : toFailure(error);
    const code = exitCodeOf(failure);
    printError(failure, code, args.includes('--json'));
    return code;
  }
}
