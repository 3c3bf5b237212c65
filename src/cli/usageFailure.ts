/** Errors of the option parser as errors of this product. */
import type { Command, CommanderError } from 'commander';
import { UsageError } from '../core/errors.ts';
import { didYouMean } from '../core/nearestNames.ts';

const SEE_HELP = 'see "ovirt-cbt --help"';

/** The command that the arguments name, or undefined. */
export function commandIn(program: Command, args: readonly string[]): Command | undefined {
  return program.commands.find((command) => command.name() === args[0]);
}

function unknownOption(command: Command, args: readonly string[]): UsageError | undefined {
  const { unknown } = command.parseOptions(args.slice(1));
  const option = unknown.find((arg) => /^--?[a-z]/i.test(arg))?.replace(/=.*$/s, '');
  if (option === undefined) return undefined;
  const known = command.options.map(({ long }) => long ?? '');
  return new UsageError('USAGE_INVALID_OPTION', `unknown option ${option}`, {
    hint: `${didYouMean(option, [...known, '--help'], '')}${SEE_HELP}`,
  });
}

function missingOptions(command: Command): UsageError {
  const missing = command.options
    .filter((option) => option.mandatory && command.getOptionValue(option.attributeName()) == null)
    .map(({ flags, envVar }) => (envVar ? `${flags} (or ${envVar})` : flags));
  const text = `missing: ${missing.join(', ')}`;
  return new UsageError('USAGE_INVALID_OPTION', text, { hint: SEE_HELP });
}

/**
 * The error to print for an error of the parser. The parser misses required options before it sees
 * a mistyped one, so that one is named first here.
 */
export function usageFailure(
  error: CommanderError,
  program: Command,
  args: readonly string[],
): UsageError {
  const [name = ''] = args;
  const command = commandIn(program, args);
  if (error.code === 'commander.unknownCommand') {
    const known = program.commands.map((one) => one.name());
    return new UsageError('USAGE_UNKNOWN_COMMAND', `unknown command "${name}"`, {
      hint: `${didYouMean(name, known)}${SEE_HELP}`,
    });
  }
  if (error.code === 'commander.help') {
    return new UsageError('USAGE_UNKNOWN_COMMAND', 'no command given', { hint: SEE_HELP });
  }
  const isMissing = error.code === 'commander.missingMandatoryOptionValue';
  if (command && (isMissing || error.code === 'commander.unknownOption')) {
    const unknown = unknownOption(command, args);
    if (unknown) return unknown;
    if (isMissing) return missingOptions(command);
  }
  const [text = ''] = error.message.replace(/^error: /, '').split('\n');
  return new UsageError('USAGE_INVALID_OPTION', text, { hint: SEE_HELP });
}
