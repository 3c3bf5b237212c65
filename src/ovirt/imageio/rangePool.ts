/** Connections for reading ranges of one image. They are opened on demand and used again. */
import { errors as undiciErrors } from 'undici';
import { RangeConnection, type RangeConnectionOptions } from './rangeConnection.ts';
import type { Range, RangeAnswer } from './rangeAnswer.ts';

/** The server may close a connection that was idle for longer, just when a request is sent. */
const MAX_IDLE_MS = 4000;

export class RangePool {
  /** Most ranges that are read at once. */
  readonly limit: number;
  readonly #options: RangeConnectionOptions;
  readonly #idle: RangeConnection[] = [];
  readonly #busy = new Set<RangeConnection>();
  readonly #waiters: (() => void)[] = [];
  #permits: number;
  #isClosed = false;

  /** @param limit - most connections, at least 1 */
  constructor(options: RangeConnectionOptions, limit: number) {
    this.#options = options;
    this.limit = limit;
    this.#permits = limit;
  }

  /** As {@link RangeConnection.fetch}; waits while all connections are in use. */
  async fetch(range: Range, what: string, signal: AbortSignal | undefined): Promise<RangeAnswer> {
    await this.#acquire();
    try {
      if (this.#isClosed) throw new undiciErrors.ClientDestroyedError();
      signal?.throwIfAborted();
      return await this.#fetchWith(this.#take(), range, what, signal);
    } finally {
      this.#release();
    }
  }

  /** Ends all connections. Requests under way and waiting ones fail. */
  close(): void {
    this.#isClosed = true;
    for (const connection of [...this.#idle, ...this.#busy]) connection.destroy();
  }

  async #fetchWith(
    connection: RangeConnection,
    ...request: Parameters<RangeConnection['fetch']>
  ): Promise<RangeAnswer> {
    this.#busy.add(connection);
    try {
      return await connection.fetch(...request);
    } finally {
      this.#busy.delete(connection);
      if (connection.idleMs < MAX_IDLE_MS) this.#idle.push(connection);
    }
  }

  async #acquire(): Promise<void> {
    if (this.#permits > 0) {
      this.#permits--;
      return;
    }
    await new Promise<void>((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  #release(): void {
    const next = this.#waiters.shift();
    if (next) next();
    else this.#permits++;
  }

  #take(): RangeConnection {
    for (let warm = this.#idle.pop(); warm; warm = this.#idle.pop()) {
      if (warm.idleMs < MAX_IDLE_MS) return warm;
      warm.destroy();
    }
    return new RangeConnection(this.#options);
  }
}
