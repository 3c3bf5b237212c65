/** Parses arguments, executes the command, and returns its exit code. */
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

/**
 * Executes the command in `args` (the words after `ovirt-cbt`) and prints its output.
 *
 * @returns the exit code. Errors are printed, not thrown.
 */
export async function executeCommandLine(args: readonly string[]): Promise<number> {
  let exitCode: number = EXIT_CODES.done;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // For help and version commander throws an error with exit code 0.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_CODES.done;
    const failure = error instanceof CommanderError ? usageFailure(error) : toFailure(error);
    const code = exitCodeOf(failure);
    printError(failure, code, args.includes('--json'));
    return code;
  }
}
