/** Connections for the ranges of one image. They are opened on demand and used again. */
import { ConnectionFailure } from '../networkFailure.ts';
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
    return await this.#use(signal, (connection) => connection.fetch(range, what, signal));
  }

  /** As {@link RangeConnection.put}; waits while all connections are in use. */
  async put(
    bytes: Uint8Array,
    offsetBytes: number,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<RangeAnswer> {
    return await this.#use(signal, (one) => one.put(bytes, offsetBytes, what, signal));
  }

  /** Ends the connections that no request uses. Later requests open new ones. */
  closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** Ends all connections. Requests under way and waiting ones fail. */
  close(): void {
    this.#isClosed = true;
    for (const connection of [...this.#idle, ...this.#busy]) connection.destroy();
  }

  async #use(
    signal: AbortSignal | undefined,
    work: (connection: RangeConnection) => Promise<RangeAnswer>,
  ): Promise<RangeAnswer> {
    await this.#acquire();
    try {
      if (this.#isClosed) throw new ConnectionFailure('UND_ERR_DESTROYED', 'the pool was closed');
      signal?.throwIfAborted();
      return await this.#workWith(this.#take(), work);
    } finally {
      this.#release();
    }
  }

  async #workWith(
    connection: RangeConnection,
    work: (connection: RangeConnection) => Promise<RangeAnswer>,
  ): Promise<RangeAnswer> {
    this.#busy.add(connection);
    try {
      return await work(connection);
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
