#!/usr/bin/env node
/** Entry of the command line: turns arguments into a command, and its end into an exit code. */
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

async function main(): Promise<number> {
  let exitCode: number = EXIT_CODES.done;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(process.argv);
    return exitCode;
  } catch (error) {
    // Help and version end through an error of commander that carries exit code 0.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_CODES.done;
    const failure = error instanceof CommanderError ? usageFailure(error) : toFailure(error);
    const code = exitCodeOf(failure);
    printError(failure, code, process.argv.includes('--json'));
    return code;
  }
}

// A reader that closes the pipe early (`| head`) ends the output, not the command.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
process.exitCode = await main();
