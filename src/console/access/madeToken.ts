/** A token that the daemon makes for whoever may read its state folder. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { createDurable } from '../../store/folder/durableFile.ts';

const FILE = 'console-token';
const TOKEN_BYTES = 32;

/**
 * Makes a file with a random token, mode 0600, unless an earlier daemon has made it.
 *
 * @returns its path.
 * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
 */
export async function madeTokenFile(folder: string): Promise<string> {
  const file = path.join(folder, FILE);
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  await createDurable(file, `${token}\n`);
  return file;
}
