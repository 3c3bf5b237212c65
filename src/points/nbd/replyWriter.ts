/** Writes whole replies to a socket, and waits while its client does not read. */
import type { Socket } from 'node:net';
import { ConnectionEnded } from './socketReader.ts';

/** A client that takes nothing for so long is broken off. It would hold memory for ever. */
const STALL_MS = 120_000;

export class ReplyWriter {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /**
   * Resolves when the socket has taken the bytes. Parts of one call stay together. Several calls at
   * the same time are written one after the other.
   *
   * @throws {@link ConnectionEnded}
   */
  async write(...parts: readonly Buffer[]): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) throw new ConnectionEnded();
    await new Promise<void>((resolve, reject) => {
      const stalled = setTimeout(() => socket.destroy(), STALL_MS).unref();
      socket.cork();
      for (const [k, part] of parts.entries()) {
        if (k < parts.length - 1) socket.write(part);
        else
          socket.write(part, (error) => {
            clearTimeout(stalled);
            if (error) reject(new ConnectionEnded());
            else resolve();
          });
      }
      socket.uncork();
    });
  }
}
