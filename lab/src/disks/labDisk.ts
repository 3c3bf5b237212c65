/**
 * A disk of the lab: sparse bytes, a chain of dirty bitmaps, frozen views. As in QEMU, only the
 * newest bitmap records. The changes since checkpoint C are therefore the union of the bitmaps from
 * C on.
 */
import { invariant } from '../errors.ts';
import type { DiskContent, FreezeMarks, TicketTarget } from '../dataPlane.ts';
import { FrozenDisk } from './frozenView.ts';
import {
  allocatedBytesOf,
  digestGranules,
  GRANULE_BYTES,
  GranuleMap,
  granulesOf,
  readGranules,
} from './granules.ts';
import { RangeSet } from './rangeSet.ts';
import type { LabDiskFormat } from '../types.ts';

/** Free space of a storage domain, shared by its disks. */
export class LabStorage {
  availableBytes: number;

  constructor(availableBytes: number) {
    this.availableBytes = availableBytes;
  }

  /** Takes space; a negative value frees it. @throws an Error with code ENOSPC */
  use(deltaBytes: number): void {
    if (deltaBytes > this.availableBytes) {
      throw Object.assign(new Error('no space left on the storage domain'), { code: 'ENOSPC' });
    }
    this.availableBytes -= deltaBytes;
  }
}

export interface LabDiskOptions {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly format: LabDiskFormat;
  readonly hidesHoles?: boolean | undefined;
  /** Charged for what uploads allocate. Writes of guests cost nothing. */
  readonly storage: LabStorage;
}

interface Bitmap {
  readonly dirty: RangeSet;
  /** Marked in use after a host crash: it can neither be read nor repaired. */
  isBroken: boolean;
}

export class LabDiskState implements DiskContent {
  readonly id: string;
  readonly name: string;
  readonly format: LabDiskFormat;
  readonly #hidesHoles: boolean;
  readonly #storage: LabStorage;
  readonly #content = new GranuleMap();
  readonly #discarded = new RangeSet();
  /** Oldest first. */
  readonly #bitmaps = new Map<string, Bitmap>();
  #sizeBytes: number;
  #uploadedBytes = 0;

  constructor(options: LabDiskOptions) {
    this.id = options.id;
    this.name = options.name;
    this.format = options.format;
    this.#hidesHoles = options.hidesHoles ?? false;
    this.#storage = options.storage;
    this.#sizeBytes = options.sizeBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  read(offsetBytes: number, lengthBytes: number): Buffer {
    this.#assertInside(offsetBytes, lengthBytes);
    return readGranules(this.#content.current, offsetBytes, lengthBytes);
  }

  digest(): string {
    return digestGranules(this.#content.current, this.#sizeBytes);
  }

  allocatedBytes(): number {
    return allocatedBytesOf(this.#content.current, this.#sizeBytes);
  }

  write(offsetBytes: number, bytes: Uint8Array): void {
    this.#write(offsetBytes, bytes, () => {});
  }

  writeUntracked(offsetBytes: number, bytes: Uint8Array): void {
    this.#put(offsetBytes, bytes, () => {});
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    this.#assertInside(offsetBytes, lengthBytes);
    const endBytes = offsetBytes + lengthBytes;
    const whole = {
      start: Math.ceil(offsetBytes / GRANULE_BYTES),
      // The short granule at the end of the disk counts as whole.
      end:
        endBytes === this.#sizeBytes
          ? Math.ceil(endBytes / GRANULE_BYTES)
          : Math.floor(endBytes / GRANULE_BYTES),
    };
    if (whole.start >= whole.end) return this.write(offsetBytes, Buffer.alloc(lengthBytes));
    const headBytes = whole.start * GRANULE_BYTES - offsetBytes;
    const tailOffsetBytes = Math.min(whole.end * GRANULE_BYTES, endBytes);
    this.write(offsetBytes, Buffer.alloc(headBytes));
    this.#content.drop(whole.start, whole.end);
    this.#discarded.add(whole.start, whole.end);
    this.#mark(whole.start, whole.end);
    this.write(tailOffsetBytes, Buffer.alloc(endBytes - tailOffsetBytes));
  }

  resize(sizeBytes: number): void {
    const { end } = granulesOf(0, sizeBytes);
    const cutBytes = Math.min(end * GRANULE_BYTES, this.#sizeBytes) - sizeBytes;
    // Bytes after the cut must not come back when the disk grows again.
    if (cutBytes > 0) this.#content.apply(this.#content.plan(sizeBytes, Buffer.alloc(cutBytes)));
    this.#content.drop(end, Number.POSITIVE_INFINITY);
    this.#discarded.remove(end, Number.POSITIVE_INFINITY);
    for (const { dirty } of this.#bitmaps.values()) dirty.remove(end, Number.POSITIVE_INFINITY);
    this.#sizeBytes = sizeBytes;
  }

  snapshot(): FrozenDisk {
    return this.freeze();
  }

  /** The present content and bitmaps; later writes do not change them. */
  freeze(marks?: FreezeMarks): FrozenDisk {
    const view = new FrozenDisk({
      sizeBytes: this.#sizeBytes,
      granules: this.#content.share(),
      discarded: this.#discarded.clone(),
      bitmaps: new Map([...this.#bitmaps].map(([name, { dirty }]) => [name, dirty.clone()])),
      hidesHoles: this.#hidesHoles,
    });
    if (marks?.bitmap !== undefined) this.addBitmap(marks.bitmap);
    return view;
  }

  /** Begins a new bitmap. From now on it records, and the one before no longer does. */
  addBitmap(name: string): void {
    invariant(this.format === 'cow', 'a raw disk cannot have bitmaps');
    invariant(!this.#bitmaps.has(name), `bitmap ${name} is there already`);
    this.#bitmaps.set(name, { dirty: new RangeSet(), isBroken: false });
  }

  /**
   * Removes a bitmap with its checkpoint. The next older bitmap of this disk takes over its
   * granules. It then stands for all changes up to the next newer one. Without an older bitmap the
   * granules are lost.
   */
  removeBitmap(name: string): void {
    const removed = this.#bitmaps.get(name);
    if (!removed) return;
    const names = [...this.#bitmaps.keys()];
    const parent = this.#bitmaps.get(names[names.indexOf(name) - 1] ?? '');
    this.#bitmaps.delete(name);
    // The older bitmap is then broken as well.
    parent?.dirty.addAll(removed.dirty);
  }

  dropBitmaps(): void {
    this.#bitmaps.clear();
  }

  breakBitmaps(): void {
    for (const bitmap of this.#bitmaps.values()) bitmap.isBroken = true;
  }

  /** True when all these bitmaps exist and none is broken. */
  canServe(names: readonly string[]): boolean {
    return names.every((name) => this.#bitmaps.get(name)?.isBroken === false);
  }

  /** Target of an upload's ticket. Allocated space is charged to the storage domain. */
  uploadTarget(): TicketTarget {
    return {
      diskId: this.id,
      sizeBytes: this.#sizeBytes,
      read: (offsetBytes, lengthBytes) => this.read(offsetBytes, lengthBytes),
      extents: () => this.freeze().extents(undefined),
      write: (offsetBytes, bytes) => {
        this.#write(offsetBytes, bytes, (growth) => this.#charge(growth));
      },
      zero: (offsetBytes, lengthBytes) => {
        const before = this.#content.current.size;
        this.zero(offsetBytes, lengthBytes);
        this.#charge(this.#content.current.size - before);
      },
    };
  }

  /** Frees the space that uploads have taken. For a disk that is deleted. */
  releaseStorage(): void {
    this.#storage.use(-this.#uploadedBytes);
    this.#uploadedBytes = 0;
  }

  /**
   * Charges or frees granules. At most the space of uploads is freed: guests never paid for theirs.
   */
  #charge(growth: number): void {
    const deltaBytes = Math.max(growth * GRANULE_BYTES, -this.#uploadedBytes);
    this.#storage.use(deltaBytes);
    this.#uploadedBytes += deltaBytes;
  }

  /** @param pay - called with the growth in granules before anything changes; may throw */
  #write(offsetBytes: number, bytes: Uint8Array, pay: (growth: number) => void): void {
    this.#put(offsetBytes, bytes, pay);
    const { start, end } = granulesOf(offsetBytes, bytes.length);
    if (bytes.length > 0) this.#mark(start, end);
  }

  /** Changes the content, but no bitmap. */
  #put(offsetBytes: number, bytes: Uint8Array, pay: (growth: number) => void): void {
    this.#assertInside(offsetBytes, bytes.length);
    if (bytes.length === 0) return;
    const plan = this.#content.plan(offsetBytes, bytes);
    pay(this.#content.growthBy(plan));
    this.#content.apply(plan);
    for (const [index, granule] of plan) {
      if (granule) this.#discarded.remove(index, index + 1);
      else this.#discarded.add(index, index + 1);
    }
  }

  #mark(start: number, end: number): void {
    [...this.#bitmaps.values()].at(-1)?.dirty.add(start, end);
  }

  #assertInside(offsetBytes: number, lengthBytes: number): void {
    const isInside = offsetBytes >= 0 && offsetBytes + lengthBytes <= this.#sizeBytes;
    invariant(isInside, `${offsetBytes}+${lengthBytes} is beyond the end of disk ${this.name}`);
  }
}
