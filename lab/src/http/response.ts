/**
 * Writes an answer: lower-case headers, an explicit content-length, pieces at the pace of the
 * client. A fault can cut the connection in the middle.
 */
import type { ServerResponse } from 'node:http';

/** A body that is too large for one buffer. */
export interface LabBodyStream {
  readonly contentLengthBytes: number;
  /** The lengths add up to `contentLengthBytes`. An error while iterating cuts the connection. */
  readonly pieces: Iterable<Buffer>;
}

export interface LabHttpResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Text and buffers are sent unchanged, objects as JSON. */
  readonly body?: string | Buffer | object | undefined;
  /** Instead of `body`. */
  readonly stream?: LabBodyStream | undefined;
  /**
   * Called once: right before the last piece is sent, or when the answer was cut. A client that has
   * the whole answer therefore sees its effects.
   */
  readonly onEnd?: ((sentBodyBytes: number, isComplete: boolean) => void) | undefined;
}

interface WireBody extends LabBodyStream {
  readonly contentType: string | undefined;
}

function toWireBody({ body, stream }: LabHttpResponse): WireBody {
  if (stream) return { ...stream, contentType: 'application/octet-stream' };
  if (body === undefined) return { contentLengthBytes: 0, pieces: [], contentType: undefined };
  if (Buffer.isBuffer(body)) return toBytes(body, 'application/octet-stream');
  if (typeof body === 'string') return toBytes(Buffer.from(body), 'text/plain; charset=UTF-8');
  return toBytes(Buffer.from(JSON.stringify(body)), 'application/json');
}

function toBytes(bytes: Buffer, contentType: string): WireBody {
  return { contentLengthBytes: bytes.length, pieces: [bytes], contentType };
}

function isClosing(response: ServerResponse, answer: LabHttpResponse): boolean {
  const wish = `${answer.headers?.['connection'] ?? ''},${response.req.headers.connection ?? ''}`;
  return /\bclose\b/i.test(wish) || response.req.httpVersion === '1.0';
}

function writeHead(response: ServerResponse, answer: LabHttpResponse, body: WireBody): void {
  response.sendDate = false;
  response.writeHead(answer.status, {
    date: new Date().toUTCString(),
    ...(body.contentType === undefined ? {} : { 'content-type': body.contentType }),
    ...answer.headers,
    'content-length': String(body.contentLengthBytes),
    connection: isClosing(response, answer) ? 'close' : 'keep-alive',
  });
}

/** @returns false when the connection is gone. */
function writePiece(response: ServerResponse, piece: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const onClose = (): void => resolve(false);
    response.once('close', onClose);
    response.write(piece, (error) => {
      response.off('close', onClose);
      resolve(!error);
    });
  });
}

type EndListener = (sentBodyBytes: number, isComplete: boolean) => void;

/** Only the first call has an effect. */
function onlyOnce(listener: LabHttpResponse['onEnd']): EndListener {
  let pending = listener;
  return (sentBodyBytes, isComplete) => {
    const current = pending;
    pending = undefined;
    current?.(sentBodyBytes, isComplete);
  };
}

/** Writes a body piece by piece and counts the bytes that were sent. */
class BodyWriter {
  readonly #response: ServerResponse;
  readonly #body: LabBodyStream;
  sentBytes = 0;

  constructor(response: ServerResponse, body: LabBodyStream) {
    this.#response = response;
    this.#body = body;
  }

  get isComplete(): boolean {
    return this.sentBytes === this.#body.contentLengthBytes;
  }

  async write(limitBytes: number, onEnd: EndListener): Promise<void> {
    for (const whole of this.#body.pieces) {
      if (this.#response.destroyed) return;
      const piece = whole.subarray(0, limitBytes - this.sentBytes);
      const endBytes = this.sentBytes + piece.length;
      if (endBytes === this.#body.contentLengthBytes) onEnd(endBytes, true);
      if (!(await writePiece(this.#response, piece))) return;
      this.sentBytes = endBytes;
      if (endBytes >= limitBytes) return;
    }
  }
}

/**
 * Sends an answer. Resolves when it was sent or its connection is closed. Never rejects.
 * @param cutAfterBytes - closes the connection after this many bytes of the body; 0: before the
 *   head
 */
export async function sendResponse(
  response: ServerResponse,
  answer: LabHttpResponse,
  cutAfterBytes: number,
): Promise<void> {
  const onEnd = onlyOnce(answer.onEnd);
  const body = toWireBody(answer);
  const writer = new BodyWriter(response, body);
  if (cutAfterBytes > 0 && !response.destroyed) {
    try {
      writeHead(response, answer, body);
      if (writer.isComplete) onEnd(0, true);
      await writer.write(cutAfterBytes, onEnd);
      if (writer.isComplete) return void response.end();
    } catch {
      // Reading the pieces failed after the head was sent. The connection can only be cut.
    }
  }
  response.req.socket.destroy();
  onEnd(writer.sentBytes, false);
}
