/** HTTP for the clients of engine and imageio: agents and bounded bodies. */
import { Agent, type Dispatcher, errors as undiciErrors } from 'undici';
import { secureContextFor } from './secureContext.ts';

export interface ConnectionOptions {
  readonly caPem: string | undefined;
  readonly connectMs: number;
  /** Most connections to one origin. */
  readonly connections: number;
  /** Longest wait for a piece of a body. */
  readonly bodyMs: number;
  /** Path of a unix socket to use instead of TCP. */
  readonly socketPath?: string | undefined;
}

export function createAgent(options: ConnectionOptions): Agent {
  const { caPem, connectMs, connections, bodyMs, socketPath } = options;
  return new Agent({
    connections,
    pipelining: 1,
    bodyTimeout: bodyMs,
    connect: {
      timeout: connectMs,
      secureContext: secureContextFor(caPem),
      // Overrides NODE_TLS_REJECT_UNAUTHORIZED.
      rejectUnauthorized: true,
      ...(socketPath === undefined ? {} : { socketPath }),
    },
  });
}

/** Reads a body. @throws undici's ResponseExceededMaxSizeError above `maxBytes` */
export async function readBody(
  body: Dispatcher.ResponseData['body'],
  maxBytes: number,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBytes) {
      body.destroy();
      throw new undiciErrors.ResponseExceededMaxSizeError(`body above ${maxBytes} B`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces, bytes);
}
