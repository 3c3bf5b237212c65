/**
 * The bytes of a sparse disk: a map of 64 KiB granules. A missing granule is zero. A stored buffer
 * is never changed, only replaced, so that frozen views can share it.
 */
import { createHash } from 'node:crypto';
import { KIB, MIB } from '../units.ts';

/** Unit of bitmaps and extents in the lab, and the usual granularity of dirty bitmaps. */
export const GRANULE_BYTES: number = 64 * KIB;

const ZERO_GRANULE: Buffer = Buffer.alloc(GRANULE_BYTES);
const ZERO_PIECE: Buffer = Buffer.alloc(MIB);

export type Granules = ReadonlyMap<number, Buffer>;

/** New granules by index; undefined for a granule that becomes zero. */
export type GranulePlan = ReadonlyMap<number, Buffer | undefined>;

/** Granules that a range of bytes touches. `end` is the first one after the range. */
export function granulesOf(
  offsetBytes: number,
  lengthBytes: number,
): { readonly start: number; readonly end: number } {
  return {
    start: Math.floor(offsetBytes / GRANULE_BYTES),
    end: Math.ceil((offsetBytes + lengthBytes) / GRANULE_BYTES),
  };
}

export function readGranules(granules: Granules, offsetBytes: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  const { start, end } = granulesOf(offsetBytes, lengthBytes);
  for (let index = start; index < end; index++) {
    const granule = granules.get(index);
    if (!granule) continue;
    const at = index * GRANULE_BYTES - offsetBytes;
    granule.copy(bytes, Math.max(0, at), Math.max(0, -at));
  }
  return bytes;
}

export function allocatedBytesOf(granules: Granules, sizeBytes: number): number {
  let sum = 0;
  for (const index of granules.keys()) {
    sum += Math.min(GRANULE_BYTES, sizeBytes - index * GRANULE_BYTES);
  }
  return sum;
}

function* zeroPieces(lengthBytes: number): Generator<Buffer> {
  for (let leftBytes = lengthBytes; leftBytes > 0; leftBytes -= ZERO_PIECE.length) {
    yield ZERO_PIECE.subarray(0, leftBytes);
  }
}

/** SHA-256 (hex) of the whole content, holes included. */
export function digestGranules(granules: Granules, sizeBytes: number): string {
  const hash = createHash('sha256');
  let doneBytes = 0;
  for (const index of [...granules.keys()].sort((a, b) => a - b)) {
    const startBytes = index * GRANULE_BYTES;
    for (const piece of zeroPieces(startBytes - doneBytes)) hash.update(piece);
    const granule = (granules.get(index) as Buffer).subarray(0, sizeBytes - startBytes);
    hash.update(granule);
    doneBytes = startBytes + granule.length;
  }
  for (const piece of zeroPieces(sizeBytes - doneBytes)) hash.update(piece);
  return hash.digest('hex');
}

/** Granules that can be written. */
export class GranuleMap {
  #granules = new Map<number, Buffer>();
  #isShared = false;

  get current(): Granules {
    return this.#granules;
  }

  /**
   * The present content; later changes do not touch it. The map is copied at the next change only.
   */
  share(): Granules {
    this.#isShared = true;
    return this.#granules;
  }

  /** The granules that a write would store. */
  plan(offsetBytes: number, bytes: Uint8Array): GranulePlan {
    const plan = new Map<number, Buffer | undefined>();
    const { start, end } = granulesOf(offsetBytes, bytes.length);
    for (let index = start; index < end; index++) {
      const at = index * GRANULE_BYTES - offsetBytes;
      const part = bytes.subarray(Math.max(0, at), at + GRANULE_BYTES);
      const granule = Buffer.from(this.#granules.get(index) ?? ZERO_GRANULE);
      granule.set(part, Math.max(0, -at));
      plan.set(index, granule.equals(ZERO_GRANULE) ? undefined : granule);
    }
    return plan;
  }

  /** Change of the number of stored granules by `plan`; negative for fewer. */
  growthBy(plan: GranulePlan): number {
    let growth = 0;
    for (const [index, granule] of plan) {
      growth += Number(granule !== undefined) - Number(this.#granules.has(index));
    }
    return growth;
  }

  apply(plan: GranulePlan): void {
    const granules = this.#own();
    for (const [index, granule] of plan) {
      if (granule) granules.set(index, granule);
      else granules.delete(index);
    }
  }

  /** Makes whole granules zero: `start` to before `end`. */
  drop(start: number, end: number): void {
    const granules = this.#own();
    // Walks the shorter one: the range, or the list of stored granules.
    if (end - start < granules.size) {
      for (let index = start; index < end; index++) granules.delete(index);
      return;
    }
    for (const index of granules.keys()) if (index >= start && index < end) granules.delete(index);
  }

  #own(): Map<number, Buffer> {
    if (this.#isShared) this.#granules = new Map(this.#granules);
    this.#isShared = false;
    return this.#granules;
  }
}
