/** Parts of objects in memory, for all open files of a store together. The oldest ones leave. */
import { MIB } from '../../core/units.ts';

const MAX_BYTES = 32 * MIB;
const MAX_BYTES_PER_FILE = 24 * MIB;

export interface Segment {
  /** The open file. */
  readonly owner: object;
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly bytes: Promise<Buffer>;
}

export class SegmentMemory {
  /** In order of use, the least recently used one first. */
  readonly #segments = new Set<Segment>();
  #usedBytes = 0;

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** The segment with the byte at `offsetBytes`. */
  find(owner: object, offsetBytes: number): Segment | undefined {
    for (const segment of this.#segments) {
      const atBytes = offsetBytes - segment.startBytes;
      if (segment.owner !== owner || atBytes < 0 || atBytes >= segment.sizeBytes) continue;
      this.#segments.delete(segment);
      this.#segments.add(segment);
      return segment;
    }
    return undefined;
  }

  /** Keeps a segment until room is needed. A segment that cannot be loaded leaves at once. */
  add(segment: Segment): void {
    this.#segments.add(segment);
    this.#usedBytes += segment.sizeBytes;
    segment.bytes.catch(() => this.#drop(segment));
    this.#makeRoom(segment.owner);
  }

  #makeRoom(owner: object): void {
    for (const segment of [...this.#segments].slice(0, -1)) {
      const isOwn = segment.owner === owner;
      const isOver = this.#usedBytes > MAX_BYTES;
      if (isOver || (isOwn && this.#usedBy(owner) > MAX_BYTES_PER_FILE)) this.#drop(segment);
    }
  }

  #usedBy(owner: object): number {
    let usedBytes = 0;
    for (const segment of this.#segments) {
      if (segment.owner === owner) usedBytes += segment.sizeBytes;
    }
    return usedBytes;
  }

  #drop(segment: Segment): void {
    if (this.#segments.delete(segment)) this.#usedBytes -= segment.sizeBytes;
  }

  /** The file is closed. */
  dropOwner(owner: object): void {
    for (const segment of this.#segments) {
      if (segment.owner === owner) this.#drop(segment);
    }
  }
}
