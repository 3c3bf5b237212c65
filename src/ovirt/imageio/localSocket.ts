/**
 * The unix socket of the imageio daemon. It saves TLS when this process runs on the host of the
 * transfer. Its name is abstract (starts with a zero byte). If it does not work, TCP stays in use.
 *
 * @see ovirt-imageio docs/unix-socket.md
 */
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import type { Logger } from '../../core/log.ts';
import { ImageioClient } from './imageioClient.ts';
import type { ImageioOptions } from './imageioTransport.ts';

/** The only accepted path. A server must not make us connect to any other socket. */
const DAEMON_SOCKET = '\0/org/ovirt/imageio';

/** True when `host` is an address of this machine. */
async function isLocalHost(host: string): Promise<boolean> {
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address)),
  );
  const addresses = await lookup(host.replaceAll(/^\[|\]$/g, ''), { all: true }).catch(() => []);
  return addresses.length > 0 && addresses.every(({ address }) => own.has(address));
}

/** A client over the socket that the server of `client` named; undefined when it is not usable. */
export async function openLocal(
  secretUrl: string,
  client: ImageioClient,
  options: ImageioOptions,
  log: Logger,
): Promise<ImageioClient | undefined> {
  const socketPath = client.unixSocket;
  const url = new URL(secretUrl);
  if (socketPath !== DAEMON_SOCKET || !(await isLocalHost(url.hostname))) return undefined;
  try {
    return await ImageioClient.open(`http://localhost${url.pathname}`, { ...options, socketPath });
  } catch (error) {
    log.debug(
      { reason: String(error) },
      'the unix socket of imageio is not usable, staying with TCP',
    );
    return undefined;
  }
}
