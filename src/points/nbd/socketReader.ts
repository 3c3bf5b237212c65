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
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    for (const event of ['end', 'close'] as const) socket.on(event, () => this.#end());
  }

  /**
   * The next `lengthBytes` bytes.
   *
   * @throws {@link ConnectionEnded} when the connection ends before
   */
  async read(lengthBytes: number): Promise<Buffer> {
    while (this.#waitingBytes < lengthBytes) {
      if (this.#hasEnded) throw new ConnectionEnded();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#socket.resume();
      });
    }
    const all = Buffer.concat(this.#waiting);
    this.#waiting = [all.subarray(lengthBytes)];
    this.#waitingBytes = all.length - lengthBytes;
    return all.subarray(0, lengthBytes);
  }

  #take(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= MAX_WAITING_BYTES) this.#socket.pause();
    this.#wakeUp();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
