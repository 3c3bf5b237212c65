/** A client of NBD for one read at a time, so that the latency of a server is measured alone. */
import { connect, type Socket } from 'node:net';
import { retry } from '../src/core/retry.ts';
import { SocketReader } from '../src/points/nbd/socketReader.ts';

const OPTION_MAGIC = 'IHAVEOPT';
const EXPORT_NAME = 1;
const REQUEST_MAGIC = 0x25609513;
const READ = 0;

export class NbdClient {
  readonly sizeBytes: number;
  readonly #socket: Socket;
  readonly #reader: SocketReader;

  private constructor(socket: Socket, reader: SocketReader, sizeBytes: number) {
    this.#socket = socket;
    this.#reader = reader;
    this.sizeBytes = sizeBytes;
  }

  /** Connects to a Unix socket and chooses the first export. A server may not listen yet. */
  static async open(path: string): Promise<NbdClient> {
    const waits = { attempts: 8, firstDelayMs: 2, shouldRetry: () => true, signal: undefined };
    return await retry(waits, () => NbdClient.#connect(path));
  }

  static async #connect(path: string): Promise<NbdClient> {
    const socket = connect(path);
    socket.on('error', () => {});
    const reader = new SocketReader(socket);
    await reader.read(18);
    const option = Buffer.alloc(20);
    // Flags: fixed newstyle, no zeros after the answer.
    option.writeUInt32BE(3, 0);
    option.write(OPTION_MAGIC, 4, 'latin1');
    option.writeUInt32BE(EXPORT_NAME, 12);
    socket.write(option);
    const facts = await reader.read(10);
    return new NbdClient(socket, reader, Number(facts.readBigUInt64BE(0)));
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const request = Buffer.alloc(28);
    request.writeUInt32BE(REQUEST_MAGIC, 0);
    request.writeUInt16BE(READ, 6);
    request.writeBigUInt64BE(BigInt(offsetBytes), 16);
    request.writeUInt32BE(lengthBytes, 24);
    this.#socket.write(request);
    const head = await this.#reader.read(16);
    if (head.readUInt32BE(4) !== 0) throw new Error(`NBD error ${head.readUInt32BE(4)}`);
    return await this.#reader.read(lengthBytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
