/** Writes a page into a file. Pages name VMs and disks, so only the owner may read them. */
import { randomBytes } from 'node:crypto';
import { access, constants, open, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, toOutputError, UsageError } from '../core/errors.ts';
import { plainReason } from '../core/errorWords.ts';

function unusable(file: string, reason: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `page ${file}: ${reason}`, {
    hint: 'name a file in a folder that exists and that you may write to',
  });
}

/**
 * Checks the place of a page before long work begins. An older page may be there.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export async function checkPageFile(file: string): Promise<void> {
  if (file === '') throw unusable('""', 'the name is empty');
  const folder = path.dirname(file);
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw unusable(file, `${folder}: ${plainReason(errnoOf(error) ?? 'cannot be used')}`);
  }
  const known = await stat(file).catch(() => undefined);
  if (known && !known.isFile()) throw unusable(file, 'it exists and is no plain file');
}

/**
 * Writes a page, or replaces an older one as a whole. The file gets mode 0600.
 *
 * @throws {@link OutputError} `OUTPUT_FULL`, `OUTPUT_IO`
 */
export async function writePageFile(file: string, page: string): Promise<void> {
  const target = await realpath(file).catch(() => path.resolve(file));
  const partial = `${target}.${randomBytes(4).toString('hex')}.partial`;
  try {
    const handle = await open(partial, 'wx', 0o600);
    try {
      await handle.writeFile(page);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw toOutputError(file, error);
  }
}
