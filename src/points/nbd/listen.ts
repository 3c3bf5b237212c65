/** Addresses of a server: checks, the start to listen, and what clients are told. */
import { lstat, stat } from 'node:fs/promises';
import type { Server } from 'node:net';
import { hostname } from 'node:os';
import path from 'node:path';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { isLoopback } from '../../core/loopback.ts';
import type { ServeAddress } from '../pointTypes.ts';

/** Longest path of a Unix socket on Linux, without the zero byte. */
const MAX_SOCKET_PATH_BYTES = 107;
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
      hint:
        'socket' in address
          ? 'choose a socket in a folder that you may write to'
          : 'choose another port, or an address of this machine',
    });
  }
}

/** The address that clients use for an export, such as `nbd://localhost:10809/system`. */
export function uriOf(
  name: string,
  address: ServeAddress,
  server: Server,
  hasTls: boolean,
): string {
  const exportPath = encodeURIComponent(name);
  const scheme = hasTls ? 'nbds' : 'nbd';
  if ('socket' in address) {
    const socket = encodeURIComponent(socketForClients(address.socket)).replaceAll('%2F', '/');
    return `${scheme}+unix:///${exportPath}?socket=${socket}`;
  }
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : address.port;
  const shown = EVERY.includes(address.host) ? hostname() : address.host;
  return `${scheme}://${shown.includes(':') ? `[${shown}]` : shown}:${port}/${exportPath}`;
}

/** Clients may work in another folder. They have the same limit for the length of a path. */
function socketForClients(socket: string): string {
  const absolute = path.resolve(socket);
  return Buffer.byteLength(absolute) > MAX_SOCKET_PATH_BYTES ? socket : absolute;
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

/** Node says "permission denied" for a socket in a folder that does not exist. */
async function checkFolder(folder: string): Promise<void> {
  try {
    await stat(folder);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') return;
    throw new UsageError('USAGE_INVALID_OPTION', `the folder of the socket is missing: ${folder}`, {
      cause: error,
      hint: 'make it, or name a socket in another folder',
    });
  }
}

async function checkAddress(address: ServeAddress, hasTls: boolean): Promise<void> {
  if (!('socket' in address)) {
    if (hasTls || isLoopback(address.host)) return;
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
  if (!found) {
    await checkFolder(path.dirname(socket));
    return;
  }
  throw new UsageError('USAGE_OUTPUT_EXISTS', `${socket} exists already`, {
    hint: found.isSocket() ? 'delete it if no server uses it' : 'name another path',
  });
}
