/**
 * A file of lines in a bucket. An object cannot grow, so each urgent line writes all lines again.
 * Lines that do not hurry wait for the next urgent one. Lines that come during a write share the
 * next one.
 */
import type { LineFile } from '../store.ts';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class ObjectLines implements LineFile {
  readonly #write: (content: string) => Promise<void>;
  readonly #lines: string[];
  #writtenLines = 0;
  #waiters: Waiter[] = [];
  #writing: Promise<void> | undefined;

  /**
   * @param lines - the first lines. They are written with the first urgent one, or by close().
   * @param write - replaces the object.
   */
  constructor(lines: readonly string[], write: (content: string) => Promise<void>) {
    this.#lines = [...lines];
    this.#write = write;
  }

  async append(line: string, isUrgent: boolean): Promise<void> {
    this.#lines.push(line);
    if (isUrgent) await this.#flush();
  }

  async #flush(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#waiters.length > 0) {
      const waiters = this.#waiters.splice(0);
      const count = this.#lines.length;
      try {
        await this.#write(this.#lines.join(''));
        this.#writtenLines = count;
        for (const waiter of waiters) waiter.resolve();
      } catch (error) {
        for (const waiter of waiters) waiter.reject(error);
      }
    }
  }

  async close(): Promise<void> {
    const isLeft = this.#writtenLines < this.#lines.length;
    if (isLeft) await this.#flush().catch(() => {});
    else await this.#writing;
  }

  /** The object is deleted: lines on their way would make it again. */
  async drop(): Promise<void> {
    await this.#writing;
    this.#writtenLines = this.#lines.length;
  }
}
