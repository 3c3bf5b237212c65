/** The environment of a command: output form, log, abort signal, exit code. */
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
import type { FolderFailure } from '../sessions/shared/folderFailures.ts';
import { type CommonFlags, LOG_LEVELS } from './commonFlags.ts';
import { formatMessage } from './output/messageOutput.ts';

const SIGTERM_EXIT = 143;

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

  /** Prints a session message. Its level counts for the exit code. */
  readonly onMessage = (message: SessionMessage): void => {
    if (message.level === 'error') this.#worstLevel = 'error';
    else if (message.level === 'warn') this.#worstLevel ??= 'warn';
    const line = this.isJson
      ? JSON.stringify({ type: 'session_message', ...message })
      : formatMessage(message);
    process.stderr.write(`${line}\n`);
  };

  /**
   * Prints what the command waits for. On a terminal only after an abort, when the progress line is
   * gone.
   */
  readonly onStatus = (text: string): void => {
    this.logger.info({ status: text }, 'status');
    if (this.isJson || (process.stderr.isTTY && !this.signal.aborted)) return;
    process.stderr.write(`${text}\n`);
  };

  /**
   * Exit code of a command that finished. A message of level error gives 3, a warning only if
   * `strict`.
   */
  exitCode(strict: boolean): number {
    const bad = this.#worstLevel === 'error' || (strict && this.#worstLevel === 'warn');
    return bad ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
  }

  print(report: unknown, text: string): void {
    process.stdout.write(`${this.isJson ? JSON.stringify(report, null, 2) : text}\n`);
  }

  /**
   * Executes a command. The first Ctrl-C or SIGTERM stops it in order, the second one at once. An
   * error is printed with code and hint, as one line or as a JSON object.
   *
   * @returns the exit code.
   */
  async execute(work: () => Promise<number>): Promise<number> {
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
      'stopping: waiting for open reads and writes; press Ctrl-C again to stop at once\n',
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

/**
 * Throws the first failure, so that the command fails. The results of other VMs are printed before.
 */
export function throwFirst(failures: readonly FolderFailure[]): void {
  const [failure] = failures;
  if (failure) throw new RepositoryError(failure.code, failure.message, { hint: failure.hint });
}

/**
 * Prints an error on stderr. Stacks are only printed for bugs of this product and with `withStack`.
 */
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
