/**
 * Joins reads of single blocks into larger requests, because each request has a fixed cost for the
 * server. While all connections are busy, reads of adjacent ranges wait and become one request. A
 * read never waits while a connection is free.
 *
 * @see ovirt-imageio: its own client asks for 4 MiB and more at once
 */
import { MIB } from '../core/units.ts';
import type { FingerprintedRead } from '../flow/records.ts';
import type { ReadRange, ReadTarget } from '../ovirt/imageio/imageRanges.ts';

const MAX_REQUEST_BYTES = 4 * MIB;

/** Reads of this size that fit one request, at least 1. */
export function readsPerRequest(readBytes: number): number {
  return Math.max(1, Math.floor(MAX_REQUEST_BYTES / readBytes));
}

/** Fills `targets`, one after the other, from `offsetBytes` on. */
export type ScatterRead = (
  targets: readonly ReadTarget[],
  offsetBytes: number,
  signal: AbortSignal,
) => Promise<ReadRange>;

interface PendingRead {
  readonly target: ReadTarget;
  readonly offsetBytes: number;
  readonly signal: AbortSignal;
  readonly resolve: (read: FingerprintedRead) => void;
  readonly reject: (error: unknown) => void;
}

export class ReadGatherer {
  readonly #read: ScatterRead;
  readonly #connections: number;
  readonly #pending: PendingRead[] = [];
  #activeCount = 0;

  /** @param connections - requests at once, at least 1 */
  constructor(read: ScatterRead, connections: number) {
    this.#read = read;
    this.#connections = connections;
  }

  /** Reads into one target. A failed request fails all its reads with the same error. */
  async read(
    target: ReadTarget,
    offsetBytes: number,
    signal: AbortSignal,
  ): Promise<FingerprintedRead> {
    return await new Promise((resolve, reject) => {
      this.#pending.push({ target, offsetBytes, signal, resolve, reject });
      this.#dispatch();
    });
  }

  #dispatch(): void {
    while (this.#activeCount < this.#connections && this.#pending.length > 0) {
      this.#activeCount++;
      void this.#send(this.#takeAdjacent()).finally(() => {
        this.#activeCount--;
        this.#dispatch();
      });
    }
  }

  /** The oldest read, and the next ones as long as each begins where the one before ends. */
  #takeAdjacent(): PendingRead[] {
    const [first] = this.#pending;
    let [count, endBytes] = [0, first?.offsetBytes ?? 0];
    for (const { target, offsetBytes, signal } of this.#pending) {
      const lengthBytes = endBytes + target.bytes.length - (first?.offsetBytes ?? 0);
      const fits = count === 0 || lengthBytes <= MAX_REQUEST_BYTES;
      if (offsetBytes !== endBytes || signal !== first?.signal || !fits) break;
      endBytes += target.bytes.length;
      count++;
    }
    return this.#pending.splice(0, count);
  }

  async #send(reads: readonly PendingRead[]): Promise<void> {
    const [first] = reads;
    if (!first) return;
    const targets = reads.map(({ target }) => target);
    try {
      const range = await this.#read(targets, first.offsetBytes, first.signal);
      let restBytes = range.receivedBytes;
      for (const [k, { target, resolve }] of reads.entries()) {
        const actualBytes = Math.min(target.bytes.length, restBytes);
        restBytes -= actualBytes;
        resolve({ actualBytes, fingerprint: range.fingerprints[k] });
      }
    } catch (error) {
      for (const { reject } of reads) reject(error);
    }
  }
}
