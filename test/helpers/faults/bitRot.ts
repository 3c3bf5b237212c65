/** Bit rot: stored blocks damaged on purpose, and the points that need them. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { decodeVbm } from '../../../src/repository/pointXml.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import { RestorePointView } from '../../../src/repository/restorePointView.ts';
import { createRandom } from '../bytes/random.ts';
import { DiskFolder } from '../../../src/store/folder/diskFolder.ts';

/** A block of a disk at a restore point, with its stored block. */
export interface Place {
  readonly pointId: string;
  readonly alias: string;
  readonly offsetBytes: number;
  /** `file name/block id` */
  readonly stored: string;
}

export interface BlockToFetch {
  readonly fileName: string;
  readonly blockId: number;
  readonly offsetBytes: number;
  readonly storedBytes: number;
}

/** The stored blocks of every point of a VM folder, as a restore finds them. */
export interface Composition {
  readonly points: readonly RestorePoint[];
  readonly places: readonly Place[];
  readonly stored: ReadonlyMap<string, BlockToFetch>;
}

export async function composeAll(folder: string): Promise<Composition> {
  const vbm = readdirSync(folder).find((name) => name.endsWith('.vbm')) ?? '';
  const { points } = decodeVbm(readFileSync(path.join(folder, vbm), 'utf8'), vbm);
  const places: Place[] = [];
  const stored = new Map<string, BlockToFetch>();
  for (const point of points) {
    await using view = await RestorePointView.open(new DiskFolder(folder), points, point);
    const fileNames = new Map(view.members.map(({ reader, point: own }) => [reader, own.fileName]));
    for (const disk of point.disks) {
      const composed = await view.disk(disk);
      for await (const { index, reader, blockId } of composed.blocks()) {
        const fileName = fileNames.get(reader) ?? '';
        const key = `${fileName}/${blockId}`;
        const { offsetBytes, storedBytes } = await reader.storedExtent(blockId);
        stored.set(key, { fileName, blockId, offsetBytes, storedBytes });
        const place = { alias: disk.alias, offsetBytes: index * point.blockSizeBytes };
        places.push({ pointId: point.pointId, ...place, stored: key });
      }
    }
  }
  return { points, places, stored };
}

/** Flips one random bit in the stored bytes of each block. */
export function rot(folder: string, blocks: Iterable<BlockToFetch>, seed: number): void {
  const random = createRandom(seed);
  for (const { fileName, offsetBytes, storedBytes } of blocks) {
    const file = openSync(path.join(folder, fileName), 'r+');
    try {
      const at = offsetBytes + random.below(storedBytes);
      const byte = Buffer.alloc(1);
      readSync(file, byte, 0, 1, at);
      byte[0] = (byte[0] ?? 0) ^ (1 << random.below(8));
      writeSync(file, byte, 0, 1, at);
    } finally {
      closeSync(file);
    }
  }
}

/** Damages `count` random blocks among those that disks need. @returns their keys. */
export function rotSome(
  folder: string,
  { stored }: Composition,
  count: number,
  seed: number,
): Set<string> {
  const random = createRandom(seed);
  const left = [...stored.keys()];
  const picked = Array.from({ length: count }, () => left.splice(random.below(left.length), 1)[0]);
  const keys = new Set(picked.filter((key) => key !== undefined));
  rot(
    folder,
    [...stored].filter(([key]) => keys.has(key)).map(([, block]) => block),
    seed + 1,
  );
  return keys;
}

/** Places that need one of these stored blocks, as sorted lines `point alias offset stored`. */
export function linesOf(places: readonly Place[], keys: ReadonlySet<string>): string[] {
  return places
    .filter(({ stored }) => keys.has(stored))
    .map(
      ({ pointId, alias, offsetBytes, stored }) => `${pointId} ${alias} ${offsetBytes} ${stored}`,
    )
    .toSorted();
}

/** Ids of the points that need one of these stored blocks, oldest first. */
export function damagedPoints(
  { points, places }: Composition,
  keys: ReadonlySet<string>,
): string[] {
  const ids = new Set(places.filter(({ stored }) => keys.has(stored)).map((one) => one.pointId));
  return points.map((point) => point.pointId).filter((pointId) => ids.has(pointId));
}
