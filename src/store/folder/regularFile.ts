/** Opens files of a repository for reading. */
import { constants, type FileHandle, open } from 'node:fs/promises';
import { RepositoryError } from '../../core/errors.ts';

/**
 * Opens a file for reading. A named pipe would hold the process until somebody writes, and no
 * signal ends that wait. So the file is opened without a wait, and must be a regular one; a link
 * to one is followed. Errors of the operating system pass unchanged. The caller closes it.
 *
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` for a pipe, a socket or a device
 */
export async function openRegular(file: string): Promise<FileHandle> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const facts = await handle.stat();
    // A folder is refused by its read, with words of the system.
    if (facts.isFile() || facts.isDirectory()) return handle;
    throw new RepositoryError('REPOSITORY_METADATA_INVALID', `${file} is no regular file`, {
      hint: 'move it away: it is a named pipe or a device, and no file of a repository is one',
    });
  } catch (error) {
    await handle.close();
    throw error;
  }
}
