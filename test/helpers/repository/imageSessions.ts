/**
 * Sessions over small images on the main thread, and checks of their repository. Scripts use them
 * too: no test framework in here.
 */
import { deepStrictEqual, ok } from 'node:assert';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import {
  backupImages,
  type BackupImagesOptions,
} from '../../../src/sessions/backup/backupImages.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { restoreImages } from '../../../src/sessions/restore/restoreImages.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import type { StoreOptions } from '../../../src/store/store.ts';
import { BLOCK_BYTES, sha256, sha256OfFile } from '../bytes/images.ts';
import { makeFastFolder } from '../folders.ts';
import { containersOf, pointIdsOf, pointsOf, strayFilesOf } from './repositoryFiles.ts';

/** Name of the VM whose disks the images are. */
export const VM = 'vm';

/** SHA-256 of a point's disks, by file name; that is the alias of a disk. */
export type PointContent = Readonly<Record<string, string>>;

/** Backs images up as {@link VM}. The default block size of a first session is the smallest. */
export async function backup(
  repository: string,
  images: string | readonly string[],
  options: Partial<BackupImagesOptions> = {},
): Promise<SessionReport> {
  const isFirst = pointsOf(repository).length === 0;
  return await backupImages({
    repository,
    images: typeof images === 'string' ? [images] : images,
    vmName: VM,
    workers: 0,
    ...(isFirst && { blockSizeBytes: BLOCK_BYTES }),
    ...options,
  });
}

let restoreCount = 0;

/** Restores a point to a new folder next to the repository. @returns that folder. */
export async function restore(
  repository: string,
  options: { readonly point?: string; readonly disks?: readonly string[]; workers?: number } = {},
): Promise<string> {
  const output = `${repository}.restored.${restoreCount++}`;
  await restoreImages({ repository, vm: VM, output, workers: 0, ...options });
  return output;
}

/** Restores a point to a temporary folder. @returns its content. */
export async function contentOf(
  repository: string,
  vm: string,
  point: string,
  store?: StoreOptions,
): Promise<PointContent> {
  const output = makeFastFolder('point');
  try {
    await restoreImages({ repository, store, vm, point, output, workers: 0 });
    return digestsIn(output);
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

/** Digests of the files of a folder, by name. */
export function digestsIn(folder: string): PointContent {
  const names = readdirSync(folder).toSorted();
  return Object.fromEntries(names.map((name) => [name, sha256OfFile(path.join(folder, name))]));
}

/** A point restores to exactly these images, by file name. */
export async function expectRestored(
  repository: string,
  images: Readonly<Record<string, Uint8Array>>,
  options: { readonly point?: string; workers?: number } = {},
): Promise<void> {
  const output = await restore(repository, options);
  const expected = Object.entries(images).map(([name, bytes]) => [name, sha256(bytes)]);
  deepStrictEqual(digestsIn(output), Object.fromEntries(expected), 'the restored images');
}

/** Every stored block and link of the repository verifies. */
export async function expectClean(repository: string): Promise<void> {
  const { damage } = await verifyRepository({ repository, point: 'all', workers: 0 });
  deepStrictEqual(damage, [], 'the repository verifies');
}

/** Each of the points is listed and restores to its content. */
export async function checkPoints(
  repository: string,
  vm: string,
  points: ReadonlyMap<string, PointContent>,
): Promise<void> {
  const listed = await pointIdsOf(repository, vm);
  for (const [pointId, content] of points) {
    ok(listed.includes(pointId), `restore point ${pointId} is listed`);
    deepStrictEqual(await contentOf(repository, vm, pointId), content, `point ${pointId}`);
  }
}

export function checkNoStrays(repository: string): void {
  deepStrictEqual(strayFilesOf(repository), [], 'nothing is left over in the repository');
}

/** The containers on disk are those of the listed points, no more and no fewer. */
export async function checkContainersListed(repository: string): Promise<void> {
  const { vms } = await listRepository({ repository });
  const listed = vms.flatMap(({ points }) => points.map((point) => point.fileName));
  const there = containersOf(repository);
  deepStrictEqual(there, listed.toSorted(), 'containers on disk are those of points');
}
