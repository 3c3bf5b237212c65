import { isIPv4 } from 'node:net';

const NAMES: readonly string[] = ['::1', '[::1]', 'localhost'];

/** True for a host that is this machine itself, as a name, an address or the host of a URL. */
export function isLoopback(host: string): boolean {
  return NAMES.includes(host) || (isIPv4(host) && host.startsWith('127.'));
}
