/** Failures of connections, and their names. */
import { errnoOf } from '../core/errors.ts';

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
  /** The request never reached the server. It may be repeated even if it changes state. */
  readonly isUnsent: boolean;
}

/** Names a failure of a request that got no complete answer. */
export function describeFailure(error: unknown): NetworkFailure {
  const inner = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const code = errnoOf(inner) ?? errnoOf((inner as { cause?: unknown } | undefined)?.cause);
  const reason = code ?? (error instanceof Error ? error.name : 'unknown failure');
  const isTls = TLS_CODES.test(reason);
  // ERR_SSL_ errors may also come after the handshake, when the request was sent.
  const isHandshake = isTls && !reason.startsWith('ERR_SSL_');
  return { reason, isTls, isUnsent: isHandshake || NOT_SENT_CODES.has(reason) };
}

/** True when the error is the abort of the caller's own signal. */
export function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && error instanceof Error;
}

/** A connection of our own failed. `code` is a name that `undici` uses for the same failure. */
export class ConnectionFailure extends Error {
  readonly code: string;

  constructor(
    code:
      | 'UND_ERR_BODY_TIMEOUT'
      | 'UND_ERR_CONNECT_TIMEOUT'
      | 'UND_ERR_DESTROYED'
      | 'UND_ERR_HEADERS_TIMEOUT'
      | 'UND_ERR_SOCKET',
    message: string,
  ) {
    super(message);
    this.code = code;
  }
}
