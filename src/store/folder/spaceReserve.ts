/**
 * Space that a repository keeps, so that a prune can begin on a full volume. The lock and the new
 * .vbm need a few blocks before the first container may be deleted.
 */
import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { guardRepository, PARTIAL_SUFFIX, removeQuietly, syncFolder } from './durableFile.ts';

export const RESERVE_NAME = 'ovirt-cbt.reserve';
/** Enough for a lock and a .vbm of about 500 points with one disk. */
const RESERVE_BYTES = 256 * 1024;

/**
 * Makes the reserve of a repository if it is missing. Never throws: a volume without room has none,
 * and a later session makes it.
 */
export async function keepReserve(root: string): Promise<void> {
  const file = path.join(root, RESERVE_NAME);
  const isKept = await stat(file).then(
    ({ size }) => size >= RESERVE_BYTES,
    () => false,
  );
  if (isKept) return;
  const partial = `${file}${PARTIAL_SUFFIX}`;
  try {
    await writeReserve(partial);
    await rename(partial, file);
  } catch {
    await removeQuietly(partial);
  }
}

/** Writes random bytes, since a file system may store zeros without blocks. */
async function writeReserve(file: string): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await handle.writeFile(randomBytes(RESERVE_BYTES));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Gives the reserve to the volume.
 *
 * @returns false when there is none.
 * @throws {@link RepositoryError} `REPOSITORY_IO`
 */
export async function freeReserve(root: string): Promise<boolean> {
  const file = path.join(root, RESERVE_NAME);
  if (!(await stat(file).catch(() => undefined))) return false;
  await guardRepository(`remove ${file}`, async () => {
    await rm(file, { force: true });
    await syncFolder(root);
  });
  return true;
}
