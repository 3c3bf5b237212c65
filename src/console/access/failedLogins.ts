/**
 * Slows down who guesses tokens. An address may fail a few times at once, and then once a second.
 * Two addresses of one IPv6 network count as one.
 */
import { isIPv6 } from 'node:net';

/** Failures that an address may have at once. */
const MOST_FAILURES = 10;
/** After that time one failure is forgotten. */
const FORGET_MS = 1000;
/** Addresses that are remembered. The oldest one is forgotten first. */
const MAX_ADDRESSES = 4096;
/** Groups of an IPv6 address that name its network. */
const NETWORK_GROUPS = 4;
const ALL_GROUPS = 8;

interface Failures {
  /** Failures at `atMs`; they become fewer with time. */
  readonly count: number;
  readonly atMs: number;
}

/** Groups of zeros in the middle may be left out: `fe80::1` is of the network `fe80:0:0:0`. */
function networkOf(address: string): string {
  const isWide = isIPv6(address) && !address.startsWith('::');
  if (!isWide) return address;
  const [first = '', rest = ''] = address.split('::');
  const [groups, last] = [first.split(':'), rest.split(':')];
  const zeros = address.includes('::') ? ALL_GROUPS - groups.length - last.length : 0;
  const all = [...groups, ...Array<string>(Math.max(0, zeros)).fill('0'), ...last];
  return all.slice(0, NETWORK_GROUPS).join(':');
}

export class FailedLogins {
  readonly #nowMs: () => number;
  readonly #failures = new Map<string, Failures>();

  /** @param nowMs - a clock that never goes back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Seconds until this address may try again; 0 when it may. */
  waitSeconds(address: string): number {
    const tooMany = this.#countOf(networkOf(address)) - (MOST_FAILURES - 1);
    return Math.max(0, Math.ceil((tooMany * FORGET_MS) / 1000));
  }

  add(address: string): void {
    const network = networkOf(address);
    const count = this.#countOf(network) + 1;
    this.#failures.delete(network);
    this.#failures.set(network, { count, atMs: this.#nowMs() });
    if (this.#failures.size <= MAX_ADDRESSES) return;
    const [oldest] = this.#failures.keys();
    if (oldest !== undefined) this.#failures.delete(oldest);
  }

  #countOf(network: string): number {
    const failures = this.#failures.get(network);
    if (!failures) return 0;
    return Math.max(0, failures.count - (this.#nowMs() - failures.atMs) / FORGET_MS);
  }
}
