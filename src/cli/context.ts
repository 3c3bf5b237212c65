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
import type { CommonFlags } from './flags/commonFlags.ts';
import { withCommandHelp } from './helpHint.ts';
import { LogFile } from './output/logFile.ts';
import {
  formatError,
  formatMessage,
  formatStderrJson,
  formatStderrLine,
  type LineLevel,
} from './output/formatMessage.ts';
import { formOf, type OutputForm } from './output/outputForm.ts';
import { messageOutput, resultOutput } from './output/standardOutputs.ts';
import { printable } from './output/text.ts';

/** Signals that stop a command in order, and its exit code after each. */
const SIGNAL_EXITS = {
  SIGHUP: EXIT_CODES.hungUp,
  SIGINT: EXIT_CODES.interrupted,
  SIGTERM: EXIT_CODES.terminated,
} as const;
type StopSignal = keyof typeof SIGNAL_EXITS;
const STOP_SIGNALS = Object.keys(SIGNAL_EXITS) as StopSignal[];

/** Stops the command that runs. */
let stopCommand: ((name: StopSignal) => void) | undefined;
let isListening = false;

/**
 * Listens for the rest of the process. A signal that comes just as a listener is removed is lost,
 * and a command that waits for the reader of its output could not be stopped then.
 */
function listenForSignals(): void {
  if (isListening) return;
  isListening = true;
  for (const name of STOP_SIGNALS) {
    process.on(name, () => (stopCommand ? stopCommand(name) : process.exit(SIGNAL_EXITS[name])));
  }
}

export class CommandContext {
  readonly isJson: boolean;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Printed after a signal: what the command waits for. */
  stopText = 'stopping: waiting for open reads and writes';
  /** Printed when a second signal ends the process: what may be left, and what cleans it up. */
  leftText = '';
  /** SIGHUP calls this instead of stopping the command. */
  onHangUp: (() => void) | undefined;
  readonly #flags: CommonFlags;
  readonly #abort = new AbortController();
  #logFile: LogFile | undefined;
  #worstLevel: SessionMessage['level'] | undefined;
  #signalExit: number = EXIT_CODES.interrupted;
  /** Ctrl-C and SIGTERM. A hang-up is not counted. */
  #stopRequests = 0;

  constructor(flags: CommonFlags) {
    this.#flags = flags;
    this.isJson = flags.json ?? false;
    this.signal = this.#abort.signal;
    messageOutput.isJson = this.isJson;
    const destination = this.#openLog();
    this.logger = destination
      ? pino(
          { level: flags.logLevel ?? 'info', redact: [...REDACTED_PATHS], base: null },
          destination,
        )
      : silentLogger;
  }

  /** Options that every session takes from its command. */
  get sessionOptions(): Pick<CommandContext, 'signal' | 'logger' | 'onMessage' | 'onStatus'> {
    const { signal, logger, onMessage, onStatus } = this;
    return { signal, logger, onMessage, onStatus };
  }

  /** Width and colours of the result. */
  get form(): OutputForm {
    return formOf(this.#flags);
  }

  /** Prints a session message. Its level counts for the exit code. */
  readonly onMessage = (message: SessionMessage): void => {
    if (message.level === 'error') this.#worstLevel = 'error';
    else if (message.level === 'warn') this.#worstLevel ??= 'warn';
    const line = this.isJson
      ? formatStderrJson('session_message', message)
      : formatStderrLine(formatMessage(message), message.level);
    messageOutput.write(`${line}\n`);
  };

  /**
   * Tells what the command waits for. A progress area shows it itself. After a signal it is printed
   * too.
   */
  readonly onStatus = (text: string): void => {
    this.logger.info({ status: text }, 'status');
    if (this.isJson) return;
    if (messageOutput.hasArea && !this.signal.aborted) {
      messageOutput.startText = printable(text);
      return;
    }
    messageOutput.write(`${formatStderrLine(printable(text))}\n`);
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
    resultOutput.write(`${this.isJson ? JSON.stringify(report, null, 2) : text}\n`);
  }

  /**
   * Prints a line on stderr that is no message of a session: with --json an object.
   *
   * @param type - of the object.
   * @param level - the line begins with it.
   * @param fields - of the object, beside the text.
   */
  note(type: string, text: string, level?: LineLevel, fields: object = {}): void {
    const label = level ? `${level}: ` : '';
    const line = this.isJson
      ? formatStderrJson(type, { text, ...fields })
      : formatStderrLine(printable(`${label}${text}`), level);
    messageOutput.write(`${line}\n`);
  }

  /** Prints a step of a command on stdout. With --json it prints nothing. */
  printStep(text: string): void {
    if (!this.isJson) resultOutput.write(`${text}\n`);
  }

  /**
   * Executes a command. The first Ctrl-C, SIGTERM or SIGHUP stops it in order. A second Ctrl-C or
   * SIGTERM ends the process at once. An error is printed with code and hint, as one line or as a
   * JSON object.
   *
   * @returns the exit code.
   */
  async execute(work: () => Promise<number>): Promise<number> {
    listenForSignals();
    stopCommand = (name) => this.#onSignal(name);
    try {
      return await work();
    } catch (error) {
      return this.#fail(toFailure(error, this.signal));
    } finally {
      await this.#logFile?.close();
      stopCommand = undefined;
    }
  }

  /**
   * A terminal that closes can send several SIGHUP, and a logout adds a SIGTERM. So only the second
   * Ctrl-C or SIGTERM ends the process at once.
   */
  #onSignal(name: StopSignal): void {
    if (name === 'SIGHUP' && this.onHangUp) return this.onHangUp();
    if (name !== 'SIGHUP') this.#stopRequests++;
    if (this.#stopRequests > 1) this.#stopAtOnce();
    if (this.signal.aborted) return;
    this.#signalExit = SIGNAL_EXITS[name];
    resultOutput.limitWait();
    const more = process.stderr.isTTY ? '; press Ctrl-C again to stop at once' : '';
    this.note('stopping', `${this.stopText}${more}`);
    this.#abort.abort(new CancelledError('CANCELLED', `stopped by ${name}`));
  }

  /** The line is written before the process ends, unless nobody has read the lines before it. */
  #stopAtOnce(): never {
    const text = this.leftText === '' ? 'stopped at once' : `stopped at once: ${this.leftText}`;
    this.note('stopped_at_once', text);
    process.exit(this.#signalExit);
  }

  #fail(error: BackupError): number {
    const exitCode = error instanceof CancelledError ? this.#signalExit : exitCodeOf(error);
    this.logger.error({ code: error.code, details: error.details }, error.message);
    printError(error, exitCode, this.isJson, this.#flags.logLevel === 'debug');
    return exitCode;
  }

  #openLog(): DestinationStream | undefined {
    const { logLevel, logFile } = this.#flags;
    if (!logFile) return logLevel ? messageOutput : undefined;
    try {
      this.#logFile = new LogFile(logFile, (cause) => this.#noteLogFailure(cause));
      return this.#logFile;
    } catch (error) {
      throw new UsageError('USAGE_INVALID_OPTION', `--log-file ${logFile} cannot be written`, {
        cause: error,
        hint: 'name a file in a folder that exists and can be written',
      });
    }
  }

  #noteLogFailure(cause: string): void {
    const text = `the log cannot be written: ${cause}; the session continues without it`;
    this.note('log_failed', text, 'warn');
  }
}

/**
 * Throws the first failure, so that the command fails. The results of other VMs are printed before.
 */
export function throwFirst(failures: readonly FolderFailure[]): void {
  const [failure] = failures;
  if (failure) throw new RepositoryError(failure.code, failure.message, { hint: failure.hint });
}

/** Only an error of a job file has lines of its own, one a problem. They follow the hint. */
function titleAndLines({ code, message }: BackupError): readonly [string, string] {
  if (code !== 'USAGE_JOB_FILE') return [message, ''];
  const [title = '', ...lines] = message.split('\n');
  return [title, lines.map((line) => `\n  ${printable(line)}`).join('')];
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
  const { code, message } = error;
  const hint = withCommandHelp(error.hint);
  if (isJson) {
    messageOutput.write(`${formatStderrJson('exit_error', { exitCode, code, message, hint })}\n`);
    return;
  }
  const stack = withStack || code === 'INTERNAL_INVARIANT' ? `\n${error.stack}` : '';
  const [title, details] = titleAndLines(error);
  const line = formatError(printable(`${title} (${code})`), `${printable(hint)}${details}${stack}`);
  messageOutput.write(`${formatStderrLine(line, 'error')}\n`);
}
