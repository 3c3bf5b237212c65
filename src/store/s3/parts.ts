/** Parts of an upload: their sizes, and one part in memory. */
import { RepositoryError } from '../../core/errors.ts';
import { GIB, MIB } from '../../core/units.ts';

/** Servers refuse smaller parts, except the last one: 5 MiB is their bound. */
const MIN_PART_BYTES = 8 * MIB;
const MAX_PART_BYTES = 5 * GIB;
export const MAX_PARTS = 10_000;
/** Parts that the expected bytes may take. The rest is for containers that outgrow them. */
const EXPECTED_PARTS = 7_999;
/**
 * Parts from these numbers on are larger, so that the rest of the 10,000 parts holds 2.5 times the
 * bytes of those before. Larger parts need more memory.
 */
const GROWTH: readonly { readonly fromPart: number; readonly factor: number }[] = [
  { fromPart: 9_000, factor: 16 },
  { fromPart: 8_000, factor: 4 },
];

/** Sizes of the parts of one container. Part 1 is the first. */
export class PartPlan {
  readonly baseBytes: number;

  constructor(expectedBytes = 0) {
    const wantedBytes = Math.ceil(expectedBytes / EXPECTED_PARTS / MIB) * MIB;
    this.baseBytes = Math.min(Math.max(MIN_PART_BYTES, wantedBytes), MAX_PART_BYTES);
  }

  sizeOf(part: number): number {
    const factor = GROWTH.find(({ fromPart }) => part >= fromPart)?.factor ?? 1;
    return Math.min(this.baseBytes * factor, MAX_PART_BYTES);
  }

  /** Part that holds the byte at `offsetBytes`, and the offset of its first byte. */
  partAt(offsetBytes: number): { readonly part: number; readonly startBytes: number } {
    let startBytes = 0;
    let fromPart = 1;
    for (const untilPart of [8_000, 9_000, MAX_PARTS + 1]) {
      const sizeBytes = this.sizeOf(fromPart);
      const endBytes = startBytes + (untilPart - fromPart) * sizeBytes;
      if (offsetBytes < endBytes) {
        const parts = Math.floor((offsetBytes - startBytes) / sizeBytes);
        return { part: fromPart + parts, startBytes: startBytes + parts * sizeBytes };
      }
      [startBytes, fromPart] = [endBytes, untilPart];
    }
    throw new RepositoryError(
      'REPOSITORY_FULL',
      `the container needs more than ${MAX_PARTS} parts of an upload`,
      { hint: 'start a new chain with a full backup; object storage takes no larger container' },
    );
  }
}

/** Bytes of one part. Places that were never written are zeros. */
export class Part {
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly buffer: Buffer;
  /** Places that are written, in order, without touching each other. */
  #written: (readonly [fromBytes: number, untilBytes: number])[] = [];

  /** @param spare - memory of an earlier part, which is used again when it has the right size. */
  constructor(number: number, startBytes: number, sizeBytes: number, spare?: Buffer) {
    this.number = number;
    this.startBytes = startBytes;
    this.sizeBytes = sizeBytes;
    // The system gives the memory only where it is written.
    this.buffer = spare?.length === sizeBytes ? spare : Buffer.allocUnsafeSlow(sizeBytes);
  }

  get isFull(): boolean {
    const [first] = this.#written;
    return first !== undefined && first[0] === 0 && first[1] === this.sizeBytes;
  }

  /** Takes the bytes that fall into this part. @returns their number. */
  write(bytes: Uint8Array, offsetBytes: number): number {
    const atBytes = offsetBytes - this.startBytes;
    const taken = bytes.subarray(0, this.sizeBytes - atBytes);
    this.buffer.set(taken, atBytes);
    this.#note(atBytes, atBytes + taken.length);
    return taken.length;
  }

  #note(fromBytes: number, untilBytes: number): void {
    const apart = this.#written.filter(([from, until]) => until < fromBytes || from > untilBytes);
    const touching = this.#written.filter((range) => !apart.includes(range));
    const from = Math.min(fromBytes, ...touching.map((range) => range[0]));
    const until = Math.max(untilBytes, ...touching.map((range) => range[1]));
    this.#written = [...apart, [from, until] as const].sort((a, b) => a[0] - b[0]);
  }

  /** The first `lengthBytes` of the part. */
  finish(lengthBytes: number): Buffer {
    let atBytes = 0;
    for (const [from, until] of this.#written) {
      this.buffer.fill(0, atBytes, from);
      atBytes = until;
    }
    this.buffer.fill(0, atBytes, Math.max(atBytes, lengthBytes));
    return this.buffer.subarray(0, lengthBytes);
  }
}
