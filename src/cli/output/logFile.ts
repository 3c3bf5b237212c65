/** The file of `--log-file`. A write never throws and never blocks. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { errnoOf } from '../../core/errors.ts';
import { KIB } from '../../core/units.ts';

/** Bytes that may wait for the reader of a named pipe. Lines after that are dropped and counted. */
const WAITING_LIMIT_BYTES = 256 * KIB;
const RETRY_MS = 20;
/** How long {@link LogFile.close} waits for the reader of a named pipe. */
const LAST_READ_MS = 5000;
/** Level of a warning in pino. */
const WARN_LEVEL = 40;

/** A named pipe neither blocks its opening nor a write. Files of a disk ignore this flag. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

function dropNotice(count: number): string {
  const msg = `${count} log lines were dropped, because nobody read them in time`;
  return `${JSON.stringify({ level: WARN_LEVEL, time: Date.now(), msg })}\n`;
}

export class LogFile {
  readonly #fd: number;
  readonly #onFailure: (cause: string) => void;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #droppedLines = 0;
  #hasFailed = false;
  #retry: NodeJS.Timeout | undefined;

  /**
   * Opens `file`, mode 0600, to append to it. Throws the error of the system.
   *
   * @param onFailure - called once, with the cause (`ENOSPC`…), when a write or the closing fails.
   *   After that nothing more is written.
   */
  constructor(file: string, onFailure: (cause: string) => void) {
    this.#fd = openSync(file, FLAGS, 0o600);
    this.#onFailure = onFailure;
  }

  /** Writes a line, with its line feed. It is in the file at once, so that a kill loses nothing. */
  write(line: string): void {
    if (this.#hasFailed) return;
    if (this.#waitingBytes > WAITING_LIMIT_BYTES) {
      this.#droppedLines++;
      return;
    }
    if (this.#droppedLines > 0) this.#push(dropNotice(this.#droppedLines));
    this.#droppedLines = 0;
    this.#push(line);
    if (this.#retry === undefined) this.#writeWaiting();
  }

  /** Waits for a slow reader, for a while, and closes the file. */
  async close(): Promise<void> {
    const endMs = performance.now() + LAST_READ_MS;
    while (this.#waiting.length > 0 && performance.now() < endMs) await wait(RETRY_MS);
    if (this.#droppedLines > 0) this.write('');
    clearTimeout(this.#retry);
    try {
      closeSync(this.#fd);
    } catch (error) {
      // Some network file systems tell a full disk only here.
      if (!this.#hasFailed) this.#fail(errnoOf(error) ?? String(error));
    }
    this.#hasFailed = true;
  }

  #push(text: string): void {
    const bytes = Buffer.from(text);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  #writeWaiting(): void {
    this.#retry = undefined;
    try {
      for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
        const writtenBytes = writeSync(this.#fd, next);
        this.#waitingBytes -= writtenBytes;
        if (writtenBytes < next.length) this.#waiting[0] = next.subarray(writtenBytes);
        else this.#waiting.shift();
      }
    } catch (error) {
      // The pipe is full: its reader is slow.
      if (errnoOf(error) === 'EAGAIN')
        this.#retry = setTimeout(() => this.#writeWaiting(), RETRY_MS);
      else this.#fail(errnoOf(error) ?? String(error));
    }
  }

  #fail(cause: string): void {
    this.#hasFailed = true;
    this.#waiting = [];
    this.#onFailure(cause);
  }
}
