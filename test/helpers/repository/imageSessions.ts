/** Sessions over small images and checks of what they leave, for scripts too: no test framework in here. */
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
import { makeFastFolder } from '../fastFolder.ts';
import { BLOCK_BYTES, sha256OfFile } from '../bytes/images.ts';

/** Digests of a point's disks, by alias. */
export type PointContent = Readonly<Record<string, string>>;

/** Backs one image up on the main thread. */
export async function backupImage(
  repository: string,
  image: string,
  options: Partial<BackupImagesOptions> = {},
): Promise<SessionReport> {
  return await backupImages({ repository, images: [image], vmName: 'vm', workers: 0, ...options });
}

/** As {@link backupImage}, with the smallest blocks, for the first session. */
export async function backupFull(repository: string, image: string): Promise<SessionReport> {
  return await backupImage(repository, image, { blockSizeBytes: BLOCK_BYTES });
}

/** Restores a point and returns what it is. */
export async function contentOf(
  repository: string,
  vm: string,
  point: string,
): Promise<PointContent> {
  const output = makeFastFolder('point');
  try {
    await restoreImages({ repository, vm, point, output, workers: 0 });
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

/** Every block and link verifies. */
export async function checkVerifies(repository: string): Promise<void> {
  const { damage } = await verifyRepository({ repository, point: 'all', workers: 0 });
  deepStrictEqual(damage, [], 'the repository verifies');
}

/** Ids of a VM's points, oldest first; none for a VM that is not there. */
export async function pointIdsOf(repository: string, vm: string): Promise<string[]> {
  const { vms } = await listRepository(repository);
  const found = vms.find(({ vmId, vmName }) => vmId === vm || vmName === vm);
  return found?.points.map(({ pointId }) => pointId) ?? [];
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

/**
 * Names below the repository that are no part of it at rest. A marker that could not be deleted when the repository
 * was made may stay: nobody holds a lock of the whole repository.
 */
export function strayFilesOf(repository: string): string[] {
  return readdirSync(repository, { recursive: true, withFileTypes: true })
    .filter(
      (entry) =>
        entry.isFile() && !/\.(vbk|vib|vbm)$|^ovirt-cbt\.json|^verify\.json$/.test(entry.name),
    )
    .map(({ name }) => name);
}

export function checkNoStrays(repository: string): void {
  deepStrictEqual(strayFilesOf(repository), [], 'nothing is left over in the repository');
}

/** The containers on disk are those of the listed points, no more and no fewer. */
export async function checkContainersListed(repository: string): Promise<void> {
  const { vms } = await listRepository(repository);
  const listed = vms.flatMap(({ points }) => points.map((point) => point.fileName));
  const there = readdirSync(repository, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(vbk|vib)$/.test(name))
    .map((name) => path.basename(name));
  deepStrictEqual(there.toSorted(), listed.toSorted(), 'containers on disk are those of points');
}
