/**
 * An image over HTTP, for tests that decide on each byte of an answer. It listens on a unix socket,
 * or with TLS on a port of 127.0.0.1.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

const HEAD_END = '\r\n\r\n';

export interface RangeRequest {
  readonly socket: Socket;
  /** Request line and headers, without the empty line after them. */
  readonly head: string;
  /** First byte of the range of a GET or a PUT. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Bytes of a PUT that have arrived. */
  body: Buffer;
}

export type RangePlace =
  | { readonly path: string }
  | { readonly keyPem: string; readonly certPem: string };

/** The head of an answer of status 206, and its body. */
export function rangeAnswer(
  { offsetBytes, lengthBytes }: Pick<RangeRequest, 'offsetBytes' | 'lengthBytes'>,
  body: Uint8Array,
  bodyBytes: number = body.length,
): Buffer {
  const head =
    `HTTP/1.1 206 Partial Content\r\ncontent-length: ${bodyBytes}\r\n` +
    `content-range: bytes ${offsetBytes}-${offsetBytes + lengthBytes - 1}/*${HEAD_END}`;
  return Buffer.concat([Buffer.from(head), body]);
}

export function textAnswer(status: number, text: string, header = ''): string {
  return `HTTP/1.1 ${status} Any\r\n${header}content-length: ${text.length}${HEAD_END}${text}`;
}

export class RangeServer {
  /** Bytes that a GET returns and a PUT writes. */
  readonly image: Buffer;
  readonly requests: RangeRequest[] = [];
  /** All connections, in the order of their start. */
  readonly sockets: Socket[] = [];
  /** Highest number of connections at the same time. */
  mostOpen = 0;
  /** Called with each request, when its body is here. */
  answer: (request: RangeRequest) => void = (request) => this.serve(request);
  /** Called before the body of a request is taken. */
  onHead: (request: RangeRequest) => void = () => {};
  readonly #server: Server;
  #openCount = 0;

  private constructor(image: Buffer, place: RangePlace) {
    this.image = image;
    const onSocket = (socket: Socket): void => this.#take(socket);
    this.#server =
      'path' in place
        ? createServer(onSocket)
        : createTlsServer({ key: place.keyPem, cert: place.certPem }, onSocket);
    this.#server.on('tlsClientError', () => {});
  }

  static async start(image: Buffer, place: RangePlace): Promise<RangeServer> {
    const server = new RangeServer(image, place);
    if ('path' in place) server.#server.listen(place.path);
    else server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  /** Port of a server with TLS. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get openCount(): number {
    return this.#openCount;
  }

  /** The right answer. */
  serve(request: RangeRequest): void {
    const { socket, head, offsetBytes, lengthBytes, body } = request;
    if (head.startsWith('PUT')) {
      body.copy(this.image, offsetBytes);
      socket.write(textAnswer(200, ''));
    } else {
      const end = offsetBytes + lengthBytes;
      socket.write(rangeAnswer(request, this.image.subarray(offsetBytes, end)));
    }
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  #take(socket: Socket): void {
    this.sockets.push(socket);
    this.#openCount++;
    this.mostOpen = Math.max(this.mostOpen, this.#openCount);
    socket.on('error', () => {});
    socket.on('close', () => this.#openCount--);
    let begun = '';
    let request: RangeRequest | undefined;
    socket.on('data', (bytes: Buffer) => {
      let rest = bytes;
      if (!request) {
        begun += bytes.toString('latin1');
        const end = begun.indexOf(HEAD_END);
        if (end < 0) return;
        request = parseRequest(socket, begun.slice(0, end));
        rest = Buffer.from(begun.slice(end + HEAD_END.length), 'latin1');
        begun = '';
        this.requests.push(request);
        this.onHead(request);
      }
      request.body = Buffer.concat([request.body, rest]);
      if (request.head.startsWith('PUT') && request.body.length < request.lengthBytes) return;
      const whole = request;
      request = undefined;
      this.answer(whole);
    });
  }
}

function parseRequest(socket: Socket, head: string): RangeRequest {
  const [, from, to] = /range: bytes[= ](\d+)-(\d+)/.exec(head) ?? [];
  const offsetBytes = Number(from ?? 0);
  const lengthBytes = Number(to ?? -1) + 1 - offsetBytes;
  return { socket, head, offsetBytes, lengthBytes, body: Buffer.alloc(0) };
}
