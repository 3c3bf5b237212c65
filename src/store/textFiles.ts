/** Small operations that several users of a folder need. */
import { RepositoryError } from '../core/errors.ts';
import type { StoreFolder } from './store.ts';

/** Text of a file; undefined when there is none. Errors: see {@link StoreFolder.readFile}. */
export async function readTextFile(
  folder: StoreFolder,
  fileName: string,
  maxBytes: number,
): Promise<string | undefined> {
  return (await folder.readFile(fileName, maxBytes))?.toString('utf8');
}

/** Deletes one file. @throws {@link RepositoryError} `REPOSITORY_IO` */
export async function removeFile(folder: StoreFolder, fileName: string): Promise<void> {
  const [failed] = await folder.remove([fileName]);
  if (!failed) return;
  const what = `remove ${folder.pathOf(fileName)}: ${failed.reason}`;
  throw new RepositoryError('REPOSITORY_IO', what, { details: { errno: failed.reason } });
}

/** Deletes one file and ignores errors. For clean-up: its error must not hide the first error. */
export async function removeFileQuietly(folder: StoreFolder, fileName: string): Promise<void> {
  await folder.remove([fileName]).catch(() => []);
}
