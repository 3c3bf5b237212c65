/**
 * A port in front of the daemon. It moves bytes and does not end TLS, so that what the product talks to is the
 * daemon; it can cut connections and call a test when so many bytes have passed.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Trigger {
  readonly atBytes: number;
  readonly act: () => void;
}

export class Front {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #triggers: Trigger[] = [];
  #movedBytes = 0;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#join(client, connect(targetPort, '127.0.0.1')));
  }

  static async start(targetPort: number): Promise<Front> {
    const front = new Front(targetPort);
    front.#server.listen(0, '127.0.0.1');
    await once(front.#server, 'listening');
    return front;
  }

  get origin(): string {
    const address = this.#server.address();
    return `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  /** Calls `act` once when `lengthBytes` more have passed in both directions, TLS and all. */
  afterBytes(lengthBytes: number, act: () => void): void {
    this.#triggers.push({ atBytes: this.#movedBytes + lengthBytes, act });
  }

  /** Cuts all connections without a farewell. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket, daemon: Socket): void {
    for (const [one, other] of [
      [client, daemon],
      [daemon, client],
    ] as const) {
      this.#sockets.add(one);
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.on('error', () => other.destroy());
    }
    client.on('data', (piece) => this.#count(piece.length));
    client.pipe(daemon);
    daemon.on('data', (piece) => this.#count(piece.length));
    daemon.pipe(client);
  }

  #count(lengthBytes: number): void {
    this.#movedBytes += lengthBytes;
    const due = this.#triggers.filter(({ atBytes }) => atBytes <= this.#movedBytes);
    this.#triggers = this.#triggers.filter((trigger) => !due.includes(trigger));
    for (const { act } of due) act();
  }
}
