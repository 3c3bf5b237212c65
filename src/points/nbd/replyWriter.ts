/** Writes whole replies to a socket, and breaks off a client that does not read them. */
import type { Socket } from 'node:net';
import { KIB } from '../../core/units.ts';
import { ConnectionEnded } from './socketReader.ts';

/** A client that takes nothing for so long is broken off. It would hold memory for ever. */
const STALL_MS = 120_000;
/** The same while others wait for the memory that it holds. */
const CONTENDED_STALL_MS = 10_000;
const CHECK_MS = 2000;
/** Larger replies wait for each other, so that it is seen when a client takes one. */
const LARGE_BYTES = 512 * KIB;

export class ReplyWriter {
  readonly #socket: Socket;
  readonly #isContended: () => boolean;
  #pending = 0;
  #check: NodeJS.Timeout | undefined;
  #progressAtMs = 0;
  #lastLarge: Promise<void> = Promise.resolve();

  /** @param isContended - true while others wait for memory. */
  constructor(socket: Socket, isContended: () => boolean) {
    this.#socket = socket;
    this.#isContended = isContended;
  }

  /**
   * Resolves when the socket has taken the bytes. Parts of one call stay together. Calls at the
   * same time are written one after the other, in any order.
   *
   * @throws {@link ConnectionEnded}
   */
  async write(...parts: readonly Buffer[]): Promise<void> {
    const sizeBytes = parts.reduce((sum, { length }) => sum + length, 0);
    if (sizeBytes < LARGE_BYTES) {
      await this.#send(parts);
      return;
    }
    const turn = this.#lastLarge.then(() => this.#send(parts));
    this.#lastLarge = turn.catch(() => {});
    await turn;
  }

  async #send(parts: readonly Buffer[]): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) throw new ConnectionEnded();
    this.#begin();
    try {
      await new Promise<void>((resolve, reject) => {
        // The callback of a write gets no error when the socket was destroyed under it.
        const settle = (error?: Error | null): void =>
          error || socket.destroyed ? reject(new ConnectionEnded()) : resolve();
        socket.cork();
        for (const [k, part] of parts.entries()) {
          if (k < parts.length - 1) socket.write(part);
          else socket.write(part, settle);
        }
        socket.uncork();
      });
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    this.#pending++;
    if (this.#pending > 1) return;
    this.#progressAtMs = performance.now();
    this.#check = setInterval(() => this.#breakOffStalled(), CHECK_MS).unref();
  }

  #end(): void {
    this.#progressAtMs = performance.now();
    this.#pending--;
    if (this.#pending === 0) clearInterval(this.#check);
  }

  #breakOffStalled(): void {
    const quietMs = performance.now() - this.#progressAtMs;
    const limitMs = this.#isContended() ? CONTENDED_STALL_MS : STALL_MS;
    if (quietMs >= limitMs) this.#socket.destroy();
  }
}
