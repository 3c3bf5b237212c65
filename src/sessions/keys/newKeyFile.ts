/** Makes the key file of repositories that are sealed later. */
import { type FileHandle, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { syncFolder } from '../../store/folder/durableFile.ts';
import { generateKeyFile } from '../../store/seal/keyFile.ts';

export interface KeyFileReport {
  readonly type: 'keyFile';
  /** Path of the file. What it holds is in no report. */
  readonly file: string;
}

/**
 * Makes a file with a generated key: 256 random bits, mode 0600. It is on stable storage when this
 * resolves. A file that exists is never replaced.
 *
 * @throws {@link UsageError} `USAGE_OUTPUT_EXISTS`, `USAGE_INVALID_OPTION`
 */
export async function newKeyFile(file: string): Promise<KeyFileReport> {
  try {
    const handle = await open(file, 'wx', 0o600);
    await fill(handle, file);
  } catch (error) {
    throw unusable(file, error);
  }
  return { type: 'keyFile', file };
}

/** Half a key file would be worse than none. */
async function fill(handle: FileHandle, file: string): Promise<void> {
  try {
    await handle.writeFile(generateKeyFile());
    await handle.sync();
    await syncFolder(path.dirname(file));
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

function unusable(file: string, error: unknown): UsageError {
  const errno = errnoOf(error);
  if (errno === 'EEXIST') {
    return new UsageError('USAGE_OUTPUT_EXISTS', `${file} exists already`, {
      hint: 'choose another name; backups may need the key in this file',
    });
  }
  const reason = plainReason(errno ?? 'cannot be written');
  return new UsageError('USAGE_INVALID_OPTION', `key file ${file} is not made: ${reason}`, {
    cause: error,
    hint: 'choose another folder, or check its permissions and its space',
  });
}
