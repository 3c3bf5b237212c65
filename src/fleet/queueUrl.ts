/** The address of the server that holds the queue. */
import { UsageError } from '../core/errors.ts';

export interface QueueAddress {
  /** As messages show it, without a user. */
  readonly place: string;
  readonly username: string | undefined;
  readonly isTls: boolean;
  readonly server:
    | { readonly host: string; readonly port: number; readonly db: number }
    | { readonly path: string };
}

const DEFAULT_PORT = 6379;
const FORMS = 'redis://HOST:6379, rediss://HOST:6379 for TLS, or unix:///PATH';

function wrong(reason: string, hint = `the forms are ${FORMS}`): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `--queue: ${reason}`, { hint });
}

/**
 * Parses `redis://[USER@]HOST[:PORT][/DB]`, the same with `rediss`, or `unix:///PATH`.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`. The text is not shown: it may hold a password.
 */
export function parseQueueUrl(text: string): QueueAddress {
  if (!URL.canParse(text)) throw wrong('this is no URL');
  const url = new URL(text);
  if (url.password) {
    throw wrong(
      'a password in the URL can be seen by all users of this machine',
      'change that password, and give the new one with --queue-password-file',
    );
  }
  if (url.search || url.hash) throw wrong('the URL has parts that are not known');
  const username = url.username === '' ? undefined : decodeURIComponent(url.username);
  if (url.protocol === 'unix:') return socketAddress(url, username);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') throw wrong('the scheme is unknown');
  const db = /^\/?(\d{0,4})$/.exec(url.pathname)?.[1];
  if (url.hostname === '' || db === undefined) throw wrong('the host or the database is wrong');
  const host = url.hostname.replaceAll(/^\[|\]$/g, '');
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  const place = `${url.protocol}//${url.host}${url.pathname}`;
  return {
    place,
    username,
    isTls: url.protocol === 'rediss:',
    server: { host, port, db: Number(db) },
  };
}

function socketAddress(url: URL, username: string | undefined): QueueAddress {
  const path = decodeURIComponent(url.pathname);
  if (url.hostname !== '' || path.length < 2) throw wrong('the path of the socket is wrong');
  return { place: `unix://${path}`, username, isTls: false, server: { path } };
}
