/** Reads exact numbers of bytes from a socket. At most one read at a time. */
import type { Socket } from 'node:net';

/** The client has ended the connection. */
export class ConnectionEnded extends Error {}

/** Bytes that a client may send before they are read. */
const MAX_WAITING_BYTES = 256 * 1024;

/**
 * Collects what arrives. `socket.read(n)` is not used: while fewer than `n` bytes are there, its
 * `readable` event fires again and again and keeps the process busy.
 */
export class SocketReader {
  readonly #socket: Socket;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #hasEnded = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#take).on('end', this.#end).on('close', this.#end);
  }

  /** Nothing has arrived that was not read. */
  get isEmpty(): boolean {
    return this.#waitingBytes === 0;
  }

  /**
   * The next `lengthBytes` bytes. They belong to the caller.
   *
   * @param limitMs - a client that sends less in this time is broken off.
   * @throws {@link ConnectionEnded} when the connection ends before
   */
  async read(lengthBytes: number, limitMs?: number): Promise<Buffer> {
    if (this.#waitingBytes < lengthBytes) await this.#arrived(lengthBytes, limitMs);
    const parts: Buffer[] = [];
    for (let left = lengthBytes; left > 0; ) {
      const first = this.#waiting[0] ?? Buffer.alloc(0);
      const part = first.subarray(0, left);
      if (part.length === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(part.length);
      parts.push(part);
      left -= part.length;
    }
    this.#waitingBytes -= lengthBytes;
    const [only] = parts;
    return parts.length === 1 && only ? only : Buffer.concat(parts);
  }

  /** Stops reading. What arrives from now on stays with the socket. */
  detach(): void {
    this.#socket.pause();
    this.#socket.off('data', this.#take).off('end', this.#end).off('close', this.#end);
  }

  async #arrived(lengthBytes: number, limitMs: number | undefined): Promise<void> {
    const limit =
      limitMs === undefined ? undefined : setTimeout(() => this.#socket.destroy(), limitMs).unref();
    try {
      while (this.#waitingBytes < lengthBytes) {
        if (this.#hasEnded) throw new ConnectionEnded();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          this.#socket.resume();
        });
      }
    } finally {
      clearTimeout(limit);
    }
  }

  readonly #take = (bytes: Buffer): void => {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= MAX_WAITING_BYTES) this.#socket.pause();
    this.#wakeUp();
  };

  readonly #end = (): void => {
    this.#hasEnded = true;
    this.#wakeUp();
  };

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
