/** A served disk in memory. Zeros are told as holes, in units of 4 KiB. */
import { NBD_ERROR, NbdFailure } from '../../../src/points/nbd/protocol.ts';
import type { ServedDisk, ServedExtent } from '../../../src/points/nbd/servedDisk.ts';

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

  *extents(offsetBytes: number, lengthBytes: number): Generator<ServedExtent> {
    const endBytes = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < endBytes; ) {
      const stop = Math.min(endBytes, Math.floor(at / UNIT_BYTES) * UNIT_BYTES + UNIT_BYTES);
      const zero = this.content.subarray(at, stop).every((byte) => byte === 0);
      yield { lengthBytes: stop - at, zero };
      at = stop;
    }
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    await this.held;
    if (this.damage !== undefined) throw new NbdFailure(NBD_ERROR.eio, this.damage);
    return Buffer.from(this.content.subarray(offsetBytes, offsetBytes + lengthBytes));
  }
}
