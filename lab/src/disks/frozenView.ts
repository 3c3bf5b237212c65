/**
 * A disk at one moment, for a backup transfer and for tests. It shares its buffers with the disk
 * and never changes. Dirty granules are those of the bitmaps at that moment.
 */
import { invariant } from '../errors.ts';
import type { FrozenView, TicketTarget, ViewExtent } from '../dataPlane.ts';
import {
  allocatedBytesOf,
  digestGranules,
  GRANULE_BYTES,
  type Granules,
  readGranules,
} from './granules.ts';
import { RangeSet } from './rangeSet.ts';

export interface FrozenContent {
  readonly sizeBytes: number;
  readonly granules: Granules;
  /** Granules that were discarded or written with zeros: zero, but no hole. */
  readonly discarded: RangeSet;
  readonly bitmaps: ReadonlyMap<string, RangeSet>;
  /** The storage cannot tell holes from data. */
  readonly hidesHoles: boolean;
}

type ExtentFlags = Pick<ViewExtent, 'zero' | 'hole' | 'dirty'>;

function isSame(extent: ViewExtent, flags: ExtentFlags): boolean {
  return extent.zero === flags.zero && extent.hole === flags.hole && extent.dirty === flags.dirty;
}

/** Cuts a disk where a range of `layers` begins or ends. Neighbours with equal flags are merged. */
function layExtents(
  sizeBytes: number,
  layers: readonly RangeSet[],
  flagsAt: (granule: number) => ExtentFlags,
): ViewExtent[] {
  const endGranule = Math.ceil(sizeBytes / GRANULE_BYTES);
  const cuts = new Set([0, endGranule]);
  for (const layer of layers) for (const { start, end } of layer) cuts.add(start).add(end);
  const ascending = [...cuts].filter((cut) => cut <= endGranule).sort((a, b) => a - b);
  const extents: ViewExtent[] = [];
  for (const [at, end] of ascending.slice(1).entries()) {
    const offsetBytes = (ascending[at] as number) * GRANULE_BYTES;
    const flags = flagsAt(ascending[at] as number);
    const lengthBytes = Math.min(end * GRANULE_BYTES, sizeBytes) - offsetBytes;
    const last = extents.at(-1);
    if (!last || !isSame(last, flags)) extents.push({ offsetBytes, lengthBytes, ...flags });
    else extents[extents.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes };
  }
  return extents;
}

export class FrozenDisk implements FrozenView {
  readonly #content: FrozenContent;

  constructor(content: FrozenContent) {
    this.#content = content;
  }

  get sizeBytes(): number {
    return this.#content.sizeBytes;
  }

  read(offsetBytes: number, lengthBytes: number): Buffer {
    invariant(offsetBytes + lengthBytes <= this.sizeBytes, 'read beyond the end of a view');
    return readGranules(this.#content.granules, offsetBytes, lengthBytes);
  }

  digest(): string {
    return digestGranules(this.#content.granules, this.sizeBytes);
  }

  allocatedBytes(): number {
    return allocatedBytesOf(this.#content.granules, this.sizeBytes);
  }

  extents(bitmaps: readonly string[] | undefined): ViewExtent[] {
    const data = this.#data();
    if (bitmaps) return this.#dirtyExtents(data, this.#union(bitmaps));
    const { discarded } = this.#content;
    return layExtents(this.sizeBytes, [data, discarded], (granule) => {
      const zero = !data.has(granule);
      return { zero, hole: zero && !discarded.has(granule) };
    });
  }

  /** As in imageio, holes are not reported: only `dirty` and `zero` split extents. */
  #dirtyExtents(data: RangeSet, dirty: RangeSet): ViewExtent[] {
    return layExtents(this.sizeBytes, [data, dirty], (granule) => ({
      zero: !data.has(granule),
      hole: false,
      dirty: dirty.has(granule),
    }));
  }

  #union(names: readonly string[]): RangeSet {
    const { bitmaps } = this.#content;
    return RangeSet.union(
      names.map((name) => {
        const bitmap = bitmaps.get(name);
        invariant(bitmap, `the view has no bitmap ${name}`);
        return bitmap;
      }),
    );
  }

  #data(): RangeSet {
    const data = new RangeSet();
    const { granules, hidesHoles } = this.#content;
    if (hidesHoles) data.add(0, Math.ceil(this.sizeBytes / GRANULE_BYTES));
    else for (const index of [...granules.keys()].sort((a, b) => a - b)) data.add(index, index + 1);
    return data;
  }
}

/**
 * Target of a download's ticket: a view and, for an incremental one, the bitmaps whose union is
 * dirty.
 */
export function downloadTarget(
  diskId: string,
  view: FrozenView,
  bitmaps?: readonly string[],
): TicketTarget {
  return {
    diskId,
    sizeBytes: view.sizeBytes,
    read: (offsetBytes, lengthBytes) => view.read(offsetBytes, lengthBytes),
    extents: (context) => view.extents(context === 'dirty' ? (bitmaps ?? []) : undefined),
    image: view.image?.(bitmaps),
  };
}
