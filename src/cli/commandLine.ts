/** Parses arguments, executes the command, and returns its exit code. */
import { CommanderError } from 'commander';
import { EXIT_CODES, exitCodeOf, OutputError, toFailure } from '../core/errors.ts';
import { printError } from './context.ts';
import { useHelpOf } from './helpHint.ts';
import { resultOutput } from './output/standardOutputs.ts';
import { createProgram } from './program.ts';
import { commandIn, usageFailure } from './usageFailure.ts';

async function executeProgram(args: readonly string[], isJson: boolean): Promise<number> {
  let exitCode: number = EXIT_CODES.done;
  const program = createProgram((code) => {
    exitCode = code;
  });
  useHelpOf(commandIn(program, args)?.name() ?? '');
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // For help and version commander throws an error with exit code 0.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_CODES.done;
    const failure =
      error instanceof CommanderError ? usageFailure(error, program, args) : toFailure(error);
    const code = exitCodeOf(failure);
    printError(failure, code, isJson);
    return code;
  }
}

/**
 * Executes the command in `args` (the words after `ovirt-cbt`) and prints its output. A reader of
 * stdout is waited for.
 *
 * @returns the exit code. Errors are printed, not thrown. A result that could not be printed is a
 *   failure, except when its reader closed the pipe (`| head`).
 */
export async function executeCommandLine(args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json');
  const exitCode = await executeProgram(args, isJson);
  await resultOutput.settled();
  const { failure } = resultOutput;
  if (failure === undefined || failure === 'EPIPE') return exitCode;
  const code = exitCode === EXIT_CODES.done ? EXIT_CODES.failed : exitCode;
  const error = new OutputError('OUTPUT_IO', `the result could not be printed: ${failure}`, {
    hint: 'the command itself has ended in order; send stdout to a place that can be written',
  });
  printError(error, code, isJson);
  return code;
}
