/** Addresses of a server: checks, the start to listen, and what clients are told. */
import { lstat } from 'node:fs/promises';
import type { Server } from 'node:net';
import { hostname } from 'node:os';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import type { ServeAddress } from '../pointTypes.ts';

/** Longest path of a Unix socket on Linux, without the zero byte. */
const MAX_SOCKET_PATH_BYTES = 107;
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1', 'localhost'];
/** Addresses that mean every address of the machine. */
const EVERY: readonly string[] = ['0.0.0.0', '::'];

/**
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for an address that cannot be used,
 *   `USAGE_OUTPUT_EXISTS` for a socket path that exists
 */
export async function listen(
  server: Server,
  address: ServeAddress,
  hasTls: boolean,
): Promise<void> {
  await checkAddress(address, hasTls);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.once('listening', () => {
        server.off('error', reject);
        resolve();
      });
      bind(server, address);
    });
  } catch (error) {
    const place = 'socket' in address ? address.socket : `${address.host}:${address.port}`;
    const reason = plainReason(errnoOf(error) ?? String(error));
    throw new UsageError('USAGE_INVALID_OPTION', `cannot listen on ${place}: ${reason}`, {
      cause: error,
      hint: 'choose another socket or port, in a folder that you may write to',
    });
  }
}

/** What clients name an export of a server that listens, such as `nbd://localhost:10809/system`. */
export function uriOf(
  name: string,
  address: ServeAddress,
  server: Server,
  hasTls: boolean,
): string {
  const path = encodeURIComponent(name);
  const scheme = hasTls ? 'nbds' : 'nbd';
  if ('socket' in address) {
    const socket = encodeURIComponent(address.socket).replaceAll('%2F', '/');
    return `${scheme}+unix:///${path}?socket=${socket}`;
  }
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : address.port;
  const shown = EVERY.includes(address.host) ? hostname() : address.host;
  return `${scheme}://${shown.includes(':') ? `[${shown}]` : shown}:${port}/${path}`;
}

/**
 * The mask is that of the whole process, so it is changed for this call only: Node makes the socket
 * before `listen` returns.
 */
function bind(server: Server, address: ServeAddress): void {
  if (!('socket' in address)) {
    server.listen({ host: address.host, port: address.port });
    return;
  }
  const mask = process.umask(0o177);
  try {
    server.listen({ path: address.socket });
  } finally {
    process.umask(mask);
  }
}

async function checkAddress(address: ServeAddress, hasTls: boolean): Promise<void> {
  if (!('socket' in address)) {
    if (hasTls || LOOPBACK.includes(address.host)) return;
    throw new UsageError('USAGE_INVALID_OPTION', `${address.host} is not a loopback address`, {
      hint: 'NBD without TLS shows the disk to everybody who can connect; use --tls, or a socket',
    });
  }
  const { socket } = address;
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH_BYTES) {
    throw new UsageError('USAGE_INVALID_OPTION', `the path of the socket is too long: ${socket}`, {
      hint: `a Unix socket has a path of at most ${MAX_SOCKET_PATH_BYTES} bytes`,
    });
  }
  const found = await lstat(socket).catch(() => {});
  if (!found) return;
  throw new UsageError('USAGE_OUTPUT_EXISTS', `${socket} exists already`, {
    hint: found.isSocket() ? 'delete it if no server uses it' : 'name another path',
  });
}
