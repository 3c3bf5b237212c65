/**
 * stdout for the result, stderr for messages and the progress area. A write here never throws and
 * never blocks, so an output that cannot be written does not stop a session.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { errnoOf } from '../../core/errors.ts';
import { KIB } from '../../core/units.ts';

/** Bytes that may wait for the reader of stderr. Lines after that are dropped and counted. */
const WAITING_LIMIT_BYTES = 256 * KIB;
/** How long an ended command waits for the reader of stderr; after a signal also of stdout. */
const LAST_READ_MS = 5000;
/** Clears the screen from the line of the cursor on. */
const CLEAR = '\r\u001B[J';

class Output {
  readonly #stream: NodeJS.WriteStream;
  #failure: string | undefined;
  #last: Promise<void> = Promise.resolve();
  #isWaitLimited = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** Why a write failed: `ENOSPC`, `EPIPE`… After a failure nothing more is written. */
  get failure(): string | undefined {
    return this.#failure;
  }

  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  write(text: string): void {
    if (this.#failure !== undefined) return;
    this.#last = new Promise((resolve) => {
      this.#stream.write(text, (error) => {
        if (error) this.#failure ??= errnoOf(error) ?? error.message;
        resolve();
      });
    });
  }

  /** {@link settled} now gives up after 5 seconds. */
  limitWait(): void {
    this.#isWaitLimited = true;
  }

  /**
   * Waits until everything is written or has failed. A reader that pauses (`| less`) is waited for.
   *
   * @returns false when the wait is limited and its time is over.
   */
  async settled(): Promise<boolean> {
    const isRead = this.#last.then(() => true);
    if (!this.#isWaitLimited) return await isRead;
    return await Promise.race([isRead, wait(LAST_READ_MS, false, { ref: false })]);
  }
}

/** stderr: messages as whole lines, above the progress area, which stays last on a terminal. */
export class MessageOutput {
  readonly #output: Output;
  /** Form of the lines that this class adds. */
  isJson = false;
  /** True while a command has a progress area, which shows what it waits for. */
  hasArea = false;
  /** Text of the progress area before the first session of a command. */
  startText = 'starting';
  #progress = '';
  #droppedLines = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#output = new Output(stream);
    this.#output.limitWait();
  }

  /** Prints whole lines, with their line feeds. The progress area is cleared and drawn again. */
  write(lines: string): void {
    if (this.#output.waitingBytes > WAITING_LIMIT_BYTES) {
      this.#droppedLines++;
      return;
    }
    const clear = this.#progress === '' ? '' : CLEAR;
    this.#output.write(`${clear}${this.#takeDropNotice()}${lines}${this.#progress}`);
  }

  /**
   * Draws the progress area, or replaces it. Each line must be shorter than the terminal is wide,
   * and the terminal must have a line more. The cursor stays at the beginning of the first line, so
   * the `^C` of a terminal is overwritten by the next line.
   */
  drawProgress(lines: readonly string[]): void {
    const up = lines.length > 1 ? `\u001B[${lines.length - 1}A` : '';
    this.#progress = `${CLEAR}${lines.join('\n')}${up}\r`;
    if (this.#output.waitingBytes === 0) this.#output.write(this.#progress);
  }

  clearProgress(): void {
    if (this.#progress === '') return;
    this.#progress = '';
    this.#output.write(CLEAR);
  }

  /** Waits for the reader, for a while. @returns false when it has not read everything. */
  async settled(): Promise<boolean> {
    if (this.#droppedLines > 0) this.write('');
    return await this.#output.settled();
  }

  #takeDropNotice(): string {
    const count = this.#droppedLines;
    this.#droppedLines = 0;
    if (count === 0) return '';
    if (this.isJson) return `${JSON.stringify({ type: 'dropped_lines', count })}\n`;
    return `warn: ${count} lines were dropped here, because nobody read them in time\n`;
  }
}

export const resultOutput: Output = new Output(process.stdout);
export const messageOutput: MessageOutput = new MessageOutput(process.stderr);

/** The part of a terminal stream that Node does not document. */
interface TerminalStream {
  readonly isTTY?: boolean;
  readonly _handle?: { setBlocking?(isBlocking: boolean): void };
}

/** Prepares the outputs of this process. Without it, a failed write ends the process. */
export function guardOutputs(): void {
  for (const stream of [process.stdout, process.stderr]) {
    // The callback of each write gets the error too, and that is where it counts.
    stream.on('error', () => {});
    // Node makes terminals block. One that is stopped with Ctrl-S would then stop the session.
    const terminal = stream as TerminalStream;
    if (terminal.isTTY) terminal._handle?.setBlocking?.(false);
  }
  process.on('exit', () => messageOutput.clearProgress());
}
