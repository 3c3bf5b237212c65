/** What every command shares: output form, logger, abort signal, and the way a command ends. */
import { type Command, Option } from 'commander';
import pino, { type DestinationStream } from 'pino';
import {
  BackupError,
  CancelledError,
  EXIT_CODES,
  exitCodeOf,
  RepositoryError,
  toFailure,
  UsageError,
} from '../core/errors.ts';
import { type Logger, REDACTED_PATHS, silentLogger } from '../core/log.ts';
import type { SessionMessage } from '../core/messages.ts';
import { parseBytes } from '../core/units.ts';
import type { FolderFailure } from '../sessions/shared/folderFailures.ts';
import { formatMessage } from './output/messageOutput.ts';

export interface CommonFlags {
  readonly json?: boolean | undefined;
  readonly logLevel?: string | undefined;
  readonly logFile?: string | undefined;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];
const SIGTERM_EXIT = 143;

/** Options that every command has. */
export function withCommonFlags(command: Command): Command {
  return command
    .option('--json', 'print one JSON document on stdout')
    .option('--log-level <level>', `write a log of JSON lines: ${LOG_LEVELS.join(', ')}`)
    .option('--log-file <file>', 'write the log there instead of stderr (level info by default)');
}

export function workersOption(): Option {
  return new Option(
    '--workers <n>',
    'worker threads; 0 works on the main thread (default: number of CPUs, at most 8)',
  ).argParser(parseCount('--workers'));
}

/** For options that may be repeated. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

export class CommandContext {
  readonly isJson: boolean;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly #flags: CommonFlags;
  readonly #abort = new AbortController();
  readonly #destination: (DestinationStream & { flushSync?: () => void }) | undefined;
  #worstLevel: SessionMessage['level'] | undefined;
  #signalExit: number = EXIT_CODES.interrupted;

  constructor(flags: CommonFlags) {
    this.#flags = flags;
    this.isJson = flags.json ?? false;
    this.signal = this.#abort.signal;
    this.#destination = this.#openLog();
    this.logger = this.#destination
      ? pino(
          { level: flags.logLevel ?? 'info', redact: [...REDACTED_PATHS], base: null },
          this.#destination,
        )
      : silentLogger;
  }

  /** Prints a session message and remembers how bad it was. */
  readonly onMessage = (message: SessionMessage): void => {
    if (message.level === 'error') this.#worstLevel = 'error';
    else if (message.level === 'warn') this.#worstLevel ??= 'warn';
    const line = this.isJson
      ? JSON.stringify({ type: 'session_message', ...message })
      : formatMessage(message);
    process.stderr.write(`${line}\n`);
  };

  /** Says what is waited for; on a terminal only once the progress line is gone. */
  readonly onStatus = (text: string): void => {
    this.logger.info({ status: text }, 'status');
    if (this.isJson || (process.stderr.isTTY && !this.signal.aborted)) return;
    process.stderr.write(`${text}\n`);
  };

  /** Exit code of a command that did its work: errors in the session log count, warnings only when strict. */
  exitCode(strict: boolean): number {
    const bad = this.#worstLevel === 'error' || (strict && this.#worstLevel === 'warn');
    return bad ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
  }

  print(report: unknown, text: string): void {
    process.stdout.write(`${this.isJson ? JSON.stringify(report, null, 2) : text}\n`);
  }

  /**
   * Runs a command: first Ctrl-C stops it in order, the second at once. Errors become one line with code
   * and hint, or one JSON object, and the exit code.
   */
  async run(work: () => Promise<number>): Promise<number> {
    const onSignal = (name: NodeJS.Signals): void => this.#onSignal(name);
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
    try {
      return await work();
    } catch (error) {
      return this.#fail(toFailure(error, this.signal));
    } finally {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
      this.#destination?.flushSync?.();
    }
  }

  #onSignal(name: NodeJS.Signals): void {
    if (this.signal.aborted) process.exit(this.#signalExit);
    this.#signalExit = name === 'SIGTERM' ? SIGTERM_EXIT : EXIT_CODES.interrupted;
    process.stderr.write(
      'stopping: waiting for reads and writes under way; again to stop at once\n',
    );
    this.#abort.abort(new CancelledError('CANCELLED', `stopped by ${name}`));
  }

  #fail(error: BackupError): number {
    const exitCode = error instanceof CancelledError ? this.#signalExit : exitCodeOf(error);
    this.logger.error({ code: error.code, details: error.details }, error.message);
    printError(error, exitCode, this.isJson, this.#flags.logLevel === 'debug');
    return exitCode;
  }

  #openLog(): DestinationStream | undefined {
    const { logLevel, logFile } = this.#flags;
    if (logLevel !== undefined && !LOG_LEVELS.includes(logLevel)) {
      throw new UsageError('USAGE_INVALID_OPTION', `--log-level ${logLevel} does not exist`, {
        hint: `use one of ${LOG_LEVELS.join(', ')}`,
      });
    }
    if (!logFile && !logLevel) return undefined;
    try {
      return pino.destination({ dest: logFile ?? 2, sync: true, mode: 0o600, append: true });
    } catch (error) {
      throw new UsageError('USAGE_INVALID_OPTION', `--log-file ${logFile} cannot be written`, {
        cause: error,
        hint: 'name a file in a folder that exists and can be written',
      });
    }
  }
}

/** VMs that failed do not hide the others, but the command fails. */
export function throwFirst(failures: readonly FolderFailure[]): void {
  const [failure] = failures;
  if (failure) throw new RepositoryError(failure.code, failure.message, { hint: failure.hint });
}

/** Prints how a command failed; stacks only for our own bugs and at debug level. */
export function printError(
  error: BackupError,
  exitCode: number,
  isJson: boolean,
  withStack = false,
): void {
  const { code, message, hint } = error;
  if (isJson) {
    process.stderr.write(
      `${JSON.stringify({ type: 'exit_error', exitCode, code, message, hint })}\n`,
    );
    return;
  }
  const stack = withStack || code === 'INTERNAL_INVARIANT' ? `\n${error.stack}` : '';
  process.stderr.write(`error: ${message} (${code}) hint: ${hint}${stack}\n`);
}

/** Parsers of option values; they throw `USAGE_INVALID_OPTION`. */
export function parseSize(name: string): (text: string) => number {
  return (text) => parseBytes(text, name);
}

export function parseCount(name: string): (text: string) => number {
  return (text) => {
    if (/^\d+$/.test(text)) return Number(text);
    throw new UsageError('USAGE_INVALID_OPTION', `${name}: "${text}" is not a whole number`);
  };
}

/** A percentage such as `10%` as a ratio. */
export function parsePercent(name: string): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?)\s*%?$/.exec(text);
    if (match) return Number(match[1]) / 100;
    throw new UsageError('USAGE_INVALID_OPTION', `${name}: "${text}" is not a percentage`, {
      hint: 'write 10%, for instance',
    });
  };
}
