/** Options that several commands have, and the parsers of their values. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../core/errors.ts';
import { parseBytes } from '../../core/units.ts';

export interface CommonFlags {
  readonly json?: boolean | undefined;
  readonly wide?: boolean | undefined;
  readonly logLevel?: string | undefined;
  readonly logFile?: string | undefined;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];

/** Adds the options that every command has. */
export function withCommonFlags(command: Command): Command {
  return command
    .option('--json', 'print one JSON document on stdout')
    .option('--wide', 'print all columns, whatever the width of the terminal')
    .addOption(new Option('--log-level <level>', 'write a log of JSON lines').choices(LOG_LEVELS))
    .option('--log-file <file>', 'write the log there instead of stderr (level info by default)');
}

/** The repository: an option, or the variable OVIRT_REPO. */
export function repoOption(text = 'repository'): Option {
  return new Option('--repo <dir>', text).env('OVIRT_REPO').makeOptionMandatory();
}

export function workersOption(): Option {
  return new Option(
    '--workers <n>',
    'worker threads; 0 uses the main thread only (default: number of CPUs, at most 8)',
  ).argParser(parseCount('--workers'));
}

/** Parser for options that may be repeated. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION`, like the other parsers here */
export function parseSize(name: string): (text: string) => number {
  return (text) => parseBytes(text, name);
}

export function parseCount(name: string): (text: string) => number {
  return (text) => {
    if (/^\d+$/.test(text)) return Number(text);
    throw new UsageError('USAGE_INVALID_OPTION', `${name}: "${text}" is not a whole number`);
  };
}

/** Parses a percentage above `0%`, at most `100%`, as a ratio. */
export function parsePercent(name: string): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?)\s*%?$/.exec(text);
    if (match && Number(match[1]) > 100) {
      throw new UsageError('USAGE_INVALID_OPTION', `${name}: ${text} is more than 100%`, {
        hint: 'for example: 10%',
      });
    }
    if (match && Number(match[1]) === 0) {
      throw new UsageError('USAGE_INVALID_OPTION', `${name}: ${text} is nothing`, {
        hint: 'give more than 0% and at most 100%, for example: 10%',
      });
    }
    if (match) return Number(match[1]) / 100;
    throw new UsageError('USAGE_INVALID_OPTION', `${name}: "${text}" is not a percentage`, {
      hint: 'for example: 10%',
    });
  };
}
