/**
 * The bytes that clients wrote to a disk of a restore point. Nothing writes to the point itself.
 *
 * Data come before the map that names them, at every flush. So a server that is killed, or a power
 * cut, loses at most what was not flushed: a cluster that the map does not name is that of the
 * point.
 */
import type { FileHandle } from 'node:fs/promises';
import { errnoOf, OutputError } from '../../core/errors.ts';
import { writeAll } from '../../core/fileWrites.ts';
import { blockCountOf, MIB } from '../../core/units.ts';
import {
  CLUSTER,
  CLUSTER_BYTES,
  type ClusterMap,
  type ClusterState,
  type MapSector,
  SECTOR_BYTES,
} from './clusterMap.ts';
import { HEADER_BYTES } from './mapHeader.ts';
import { RangeLock } from './rangeLock.ts';

/** Zeros that must take space are written in pieces of this size. */
const ZEROS = Buffer.alloc(MIB);

/** The disk below an overlay. */
export interface OverlayBase {
  readonly sizeBytes: number;
  /** The range must lie in the disk. The caller does not change the bytes. */
  read(offsetBytes: number, lengthBytes: number): Promise<Buffer>;
}

/** A range of the disk, and where its bytes are. */
export interface OverlayRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly state: ClusterState;
}

/** Bytes of whole clusters that the overlay has instead of the point. */
export interface OverlaySize {
  readonly dataBytes: number;
  readonly zeroBytes: number;
}

/** Open files of an overlay: the bytes of the disk at their own place, and the map. */
export interface OverlayHandles {
  readonly data: FileHandle;
  readonly map: FileHandle;
}

/** Ranges must lie in the disk. Reads and writes may run at the same time, in any number. */
export class DiskOverlay {
  readonly #base: OverlayBase;
  readonly #map: ClusterMap;
  readonly #files: OverlayHandles;
  readonly #lock = new RangeLock();
  #hasUnsynced = false;
  /** A failed sync may have lost data for good. So no later flush may succeed. */
  #lost: Error | undefined;
  #running: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;

  constructor(base: OverlayBase, map: ClusterMap, files: OverlayHandles) {
    this.#base = base;
    this.#map = map;
    this.#files = files;
  }

  get size(): OverlaySize {
    let [dataBytes, zeroBytes] = [0, 0];
    for (const { first, end, state } of this.#map.changedRuns()) {
      const lengthBytes = this.#endOf(end) - first * CLUSTER_BYTES;
      if (state === CLUSTER.data) dataBytes += lengthBytes;
      else zeroBytes += lengthBytes;
    }
    return { dataBytes, zeroBytes };
  }

  /** Ranges that together are exactly the wanted range. */
  *ranges(offsetBytes: number, lengthBytes: number): Generator<OverlayRange> {
    const endBytes = offsetBytes + lengthBytes;
    for (const { first, end, state } of this.#map.runs(...clustersOf(offsetBytes, lengthBytes))) {
      const from = Math.max(offsetBytes, first * CLUSTER_BYTES);
      const to = Math.min(endBytes, end * CLUSTER_BYTES);
      yield { offsetBytes: from, lengthBytes: to - from, state };
    }
  }

  /** The buffer belongs to the caller. Errors of the base and of the system pass unchanged. */
  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const target = Buffer.allocUnsafe(lengthBytes);
    for (const range of this.ranges(offsetBytes, lengthBytes)) {
      if (range.state === CLUSTER.base && range.lengthBytes === lengthBytes) {
        return await this.#base.read(offsetBytes, lengthBytes);
      }
      const at = range.offsetBytes - offsetBytes;
      await this.#readRange(range, target.subarray(at, at + range.lengthBytes));
    }
    return target;
  }

  /**
   * Writes bytes. The rest of a cluster that is written in part comes from the point. When it
   * cannot be read, nothing is written. Errors of the base and of the system pass unchanged.
   *
   * @param bytes - unchanged by the caller until the promise settles.
   */
  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const [first, end] = clustersOf(offsetBytes, bytes.length);
    const endBytes = offsetBytes + bytes.length;
    await this.#lock.use(first, end, async () => {
      const before = await this.#rest(first, first * CLUSTER_BYTES, offsetBytes);
      const after = await this.#rest(end - 1, endBytes, this.#endOf(end));
      const pieces = [before, bytes, after].filter(({ length }) => length > 0);
      this.#hasUnsynced = true;
      await writeAll(this.#files.data, pieces, offsetBytes - before.length);
      // A flush that began during the write has not synced its last part.
      this.#hasUnsynced = true;
      this.#map.set(first, end, CLUSTER.data);
    });
  }

  /**
   * Makes a range zeros. Whole clusters are only marked; for the edges zeros are written.
   *
   * @param takesSpace - writes all zeros, so that later writes need no space.
   */
  async zero(offsetBytes: number, lengthBytes: number, takesSpace = false): Promise<void> {
    const endBytes = offsetBytes + lengthBytes;
    const { first, end } = takesSpace ? NONE : this.wholeClusters(offsetBytes, lengthBytes);
    if (first >= end) {
      await this.#writeZeros(offsetBytes, endBytes, takesSpace);
      return;
    }
    await this.#writeZeros(offsetBytes, first * CLUSTER_BYTES);
    await this.#writeZeros(this.#endOf(end), endBytes);
    await this.#lock.use(first, end, async () => this.#map.set(first, end, CLUSTER.zero));
  }

  /** The clusters that lie in a range as a whole: `[first, end)`. */
  wholeClusters(
    offsetBytes: number,
    lengthBytes: number,
  ): { readonly first: number; readonly end: number } {
    const endBytes = offsetBytes + lengthBytes;
    const isToEnd = endBytes === this.#base.sizeBytes;
    const first = Math.ceil(offsetBytes / CLUSTER_BYTES);
    const end = isToEnd
      ? blockCountOf(endBytes, CLUSTER_BYTES)
      : Math.floor(endBytes / CLUSTER_BYTES);
    return { first, end };
  }

  /**
   * All writes that ended before this call survive a power cut after it. Calls at the same time
   * share their syncs.
   *
   * @throws {@link OutputError} `OUTPUT_IO` when an earlier sync failed; errors of the system
   */
  async flush(): Promise<void> {
    // The flush under way may have missed writes that ended since. The next one has them.
    this.#waiting ??= this.#flushAfter(this.#running);
    await this.#waiting;
  }

  async #flushAfter(before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => {});
    await Promise.resolve();
    this.#running = this.#waiting;
    this.#waiting = undefined;
    await this.#flushOnce();
  }

  async #flushOnce(): Promise<void> {
    if (this.#lost) throw lostError(this.#lost);
    // Taken before the sync: a cluster that is written during it may not be on the disk after it.
    const sectors = this.#map.takeChanged();
    try {
      await this.#syncData();
      if (sectors.length === 0) return;
      for (const group of neighbours(sectors)) await this.#writeSectors(group);
      await this.#files.map.datasync();
    } catch (error) {
      this.#map.putBack(sectors);
      throw error;
    }
  }

  async #syncData(): Promise<void> {
    if (!this.#hasUnsynced) return;
    this.#hasUnsynced = false;
    try {
      await this.#files.data.datasync();
    } catch (error) {
      this.#lost = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }

  async #writeSectors(sectors: readonly MapSector[]): Promise<void> {
    const at = HEADER_BYTES + (sectors[0]?.index ?? 0) * SECTOR_BYTES;
    await writeAll(
      this.#files.map,
      sectors.map(({ bytes }) => bytes),
      at,
    );
  }

  async #readRange(range: OverlayRange, target: Buffer): Promise<void> {
    const { offsetBytes, lengthBytes, state } = range;
    if (state === CLUSTER.zero) target.fill(0);
    else if (state === CLUSTER.data) await this.#readData(offsetBytes, target);
    else (await this.#base.read(offsetBytes, lengthBytes)).copy(target);
  }

  async #readData(offsetBytes: number, target: Buffer): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const left = target.length - done;
      const { bytesRead } = await this.#files.data.read(target, done, left, offsetBytes + done);
      if (bytesRead === 0) {
        throw new OutputError('OUTPUT_IO', 'the data file of the overlay was cut short', {
          hint: 'nobody may change the files of an overlay while it is served',
        });
      }
      done += bytesRead;
    }
  }

  /** The bytes of `[fromBytes, toBytes)` that must be written with a part of their cluster. */
  async #rest(cluster: number, fromBytes: number, toBytes: number): Promise<Buffer> {
    const lengthBytes = toBytes - fromBytes;
    const state = this.#map.state(cluster);
    if (lengthBytes === 0 || state === CLUSTER.data) return Buffer.alloc(0);
    if (state === CLUSTER.zero) return Buffer.alloc(lengthBytes);
    return await this.#base.read(fromBytes, lengthBytes);
  }

  /** A range inside one cluster that is zeros already stays as it is. */
  async #writeZeros(fromBytes: number, toBytes: number, takesSpace = false): Promise<void> {
    for (let at = fromBytes; at < toBytes; ) {
      // Pieces end where clusters do, so that each cluster is completed once.
      const stop = Math.min(toBytes, Math.floor(at / MIB) * MIB + MIB);
      const ranges = [...this.ranges(at, stop - at)];
      const isZero = ranges.every(({ state }) => state === CLUSTER.zero);
      if (takesSpace || !isZero) await this.write(at, ZEROS.subarray(0, stop - at));
      at = stop;
    }
  }

  /** The offset at which the clusters below `cluster` end. The last one may be short. */
  #endOf(cluster: number): number {
    return Math.min(this.#base.sizeBytes, cluster * CLUSTER_BYTES);
  }
}

const NONE = { first: 0, end: 0 };

/** Clusters that a range touches: `[first, end)`. */
function clustersOf(offsetBytes: number, lengthBytes: number): [number, number] {
  return [
    Math.floor(offsetBytes / CLUSTER_BYTES),
    blockCountOf(offsetBytes + lengthBytes, CLUSTER_BYTES),
  ];
}

/** Sectors that follow each other are one write. */
function neighbours(sectors: readonly MapSector[]): MapSector[][] {
  const groups: MapSector[][] = [];
  for (const sector of sectors) {
    const group = groups.at(-1);
    if (group?.at(-1)?.index === sector.index - 1) group.push(sector);
    else groups.push([sector]);
  }
  return groups;
}

function lostError(cause: Error): OutputError {
  return new OutputError(
    'OUTPUT_IO',
    `an earlier sync of the overlay failed (${errnoOf(cause) ?? cause.message}), so writes may be lost`,
    { cause, hint: 'check the volume of the overlay, and begin again with a new overlay' },
  );
}
