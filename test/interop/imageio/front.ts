/**
 * A port before the daemon. It forwards bytes and does not end TLS, so the product still talks to
 * the daemon. It can cut connections. It can call a test after a number of bytes.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { closeServer, listenLocally } from '../servers.ts';

interface Trigger {
  readonly atBytes: number;
  readonly act: () => void;
}

export class Front {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #triggers: Trigger[] = [];
  #movedBytes = 0;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#join(client, connect(targetPort, '127.0.0.1')));
  }

  static async start(targetPort: number): Promise<Front> {
    const front = new Front(targetPort);
    front.#port = await listenLocally(front.#server);
    return front;
  }

  get origin(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  /**
   * Calls `act` once, after `lengthBytes` more. Both directions count, with the bytes that TLS
   * adds.
   */
  afterBytes(lengthBytes: number, act: () => void): void {
    this.#triggers.push({ atBytes: this.#movedBytes + lengthBytes, act });
  }

  /** Resets all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    await closeServer(this.#server);
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
