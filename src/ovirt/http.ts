/** What both clients share over undici: dispatchers, bounded bodies, names for failures of the network. */
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { Agent, type Dispatcher, errors as undiciErrors } from 'undici';
import { errnoOf } from '../core/errors.ts';

/** Certificates to trust: the public ones, and the engine's own CA where it is given. */
function trustedCertificates(caPem: string | undefined): string[] {
  // A public certificate on the engine's port 443 does not change that imageio is signed by the internal CA.
  return caPem === undefined ? [...rootCertificates] : [...rootCertificates, caPem];
}

let newest: { readonly caPem: string | undefined; readonly context: SecureContext } | undefined;

/** One context for all connections that trust the same CA: parsing 150 certificates for each costs more than its handshake. */
export function secureContextFor(caPem: string | undefined): SecureContext {
  if (!newest || newest.caPem !== caPem) {
    newest = { caPem, context: createSecureContext({ ca: trustedCertificates(caPem) }) };
  }
  return newest.context;
}

export interface ConnectionOptions {
  readonly caPem: string | undefined;
  readonly connectMs: number;
  /** Most connections to one origin. */
  readonly connections: number;
  /** Longest pause inside a body. */
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
      // Also where the environment tells Node to check nothing.
      rejectUnauthorized: true,
      ...(socketPath === undefined ? {} : { socketPath }),
    },
  });
}

/** Reads a body of at most `maxBytes`; a longer one is cut off by an error. */
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

const TLS_CODES =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_|ERR_SSL_|HOSTNAME_MISMATCH|INVALID_CA)/;
const NOT_SENT_CODES = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export interface NetworkFailure {
  /** Short name: an errno, an undici code or a TLS code. */
  readonly reason: string;
  readonly isTls: boolean;
  /** The request never reached the server, so that it may be repeated whatever it does. */
  readonly isUnsent: boolean;
}

/** Names a failure of a request that got no complete answer. */
export function describeFailure(error: unknown): NetworkFailure {
  const inner = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const code = errnoOf(inner) ?? errnoOf((inner as { cause?: unknown } | undefined)?.cause);
  const reason = code ?? (error instanceof Error ? error.name : 'unknown failure');
  const isTls = TLS_CODES.test(reason);
  // An error of the TLS layer may also come in the middle of a connection.
  const isHandshake = isTls && !reason.startsWith('ERR_SSL_');
  return { reason, isTls, isUnsent: isHandshake || NOT_SENT_CODES.has(reason) };
}

/** True when the error is the abort of the caller's own signal. */
export function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && error instanceof Error;
}
