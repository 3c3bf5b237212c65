/**
 * Logging. The library takes a pino logger and is silent without one. It never creates transports.
 */
import pino, { type Logger } from 'pino';

export type { Logger } from 'pino';

/**
 * Fields that may hold a secret. The paths are explicit, because wildcards cost up to half the
 * speed.
 */
export const REDACTED_PATHS: readonly string[] = [
  'password',
  'accessToken',
  'ticketId',
  'transferUrl',
  'proxyUrl',
  'headers.authorization',
  'headers.cookie',
];

export const silentLogger: Logger = pino({ level: 'silent' });
