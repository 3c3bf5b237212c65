/** A served disk in memory. Zeros are told as holes, in units of 4 KiB. */
import { NBD_ERROR, NbdFailure } from '../../../src/points/nbd/protocol.ts';
import type { ByteRange, PointExtent } from '../../../src/points/pointTypes.ts';
import type { ServedDisk } from '../../../src/points/nbd/servedDisk.ts';

const UNIT_BYTES = 4096;

export class MemoryDisk implements ServedDisk {
  readonly description = 'in memory';
  readonly writer = undefined;
  readonly sizeBytes: number;
  readonly name: string;
  readonly content: Buffer;
  /** Reads fail with this text. */
  damage: string | undefined;
  /** Reads wait for it. */
  held: Promise<void> | undefined;

  constructor(name: string, content: Buffer) {
    this.name = name;
    this.content = content;
    this.sizeBytes = content.length;
  }

  async extents(range: ByteRange, most = Infinity): Promise<PointExtent[]> {
    await Promise.resolve();
    return [...this.#units(range)].slice(0, most);
  }

  async read(
    { offsetBytes, lengthBytes }: ByteRange,
    send: (pieces: readonly Buffer[]) => Promise<void>,
  ): Promise<void> {
    await this.held;
    if (this.damage !== undefined) throw new NbdFailure(NBD_ERROR.eio, this.damage);
    await send([Buffer.from(this.content.subarray(offsetBytes, offsetBytes + lengthBytes))]);
  }

  heldBytes({ lengthBytes }: ByteRange): number {
    return lengthBytes;
  }

  *#units({ offsetBytes, lengthBytes }: ByteRange): Generator<PointExtent> {
    const endBytes = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < endBytes; ) {
      const stop = Math.min(endBytes, Math.floor(at / UNIT_BYTES) * UNIT_BYTES + UNIT_BYTES);
      const zero = this.content.subarray(at, stop).every((byte) => byte === 0);
      yield { offsetBytes: at, lengthBytes: stop - at, zero };
      at = stop;
    }
  }
}
