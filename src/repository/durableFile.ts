/** Files that appear whole or not at all: temporary name, data, sync, rename, sync of the folder. */
import { randomUUID } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { BackupError, errnoOf, isOutOfSpace, RepositoryError } from '../core/errors.ts';

/** Ending of files that are being written; whatever carries it may be deleted by the holder of the lock. */
export const PARTIAL_SUFFIX = '.partial';

const PIECE_BYTES = 64 * 1024;

/** Makes renames and new names of a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Turns operating-system errors of repository work into typed ones; typed errors pass. */
export async function guardRepository<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const errno = errnoOf(error);
    if (!errno || error instanceof BackupError) throw error;
    if (isOutOfSpace(error)) {
      throw new RepositoryError('REPOSITORY_FULL', `${what}: no space left`, {
        cause: error,
        hint: 'free space on the repository volume and run the session again',
      });
    }
    throw new RepositoryError('REPOSITORY_IO', `${what}: ${errno}`, {
      cause: error,
      hint: 'check the repository volume and its permissions',
      details: { errno },
    });
  }
}

/**
 * Reads a whole text file.
 *
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` when it has more than `maxBytes`; errors of the system
 */
export async function readText(file: string, maxBytes: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    if ((await handle.stat()).size > maxBytes) throw tooLong(file, maxBytes);
    // It may grow, and files of /proc have no size.
    const pieces: Buffer[] = [];
    for (let totalBytes = 0; ; ) {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(PIECE_BYTES), 0, PIECE_BYTES);
      if (bytesRead === 0) return Buffer.concat(pieces).toString('utf8');
      totalBytes += bytesRead;
      if (totalBytes > maxBytes) throw tooLong(file, maxBytes);
      pieces.push(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

function tooLong(file: string, maxBytes: number): RepositoryError {
  return new RepositoryError(
    'REPOSITORY_METADATA_INVALID',
    `${file} has more than ${maxBytes} B, which none of our files has`,
    { hint: 'move it away; "ovirt-cbt rescan" makes chain metadata anew' },
  );
}

/** Deletes what nobody needs; where that fails, it stays. For clean-up that must not hide what ended the work. */
export async function removeQuietly(file: string): Promise<void> {
  await rm(file, { force: true }).catch(() => {});
}

async function writeSynced(file: string, content: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(content, 'utf8');
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces `target` by `content` (mode 0600). After a crash the old or the new content is there. */
export async function writeDurable(target: string, content: string): Promise<void> {
  const partial = `${target}${PARTIAL_SUFFIX}`;
  await guardRepository(`write ${target}`, async () => {
    await rm(partial, { force: true });
    await writeSynced(partial, content);
    await rename(partial, target);
    await syncFolder(path.dirname(target));
  });
}

const SHARED_ATTEMPTS = 3;

/**
 * As {@link writeDurable}, for files that are replaced without the lock of the chain: each writer has a
 * temporary name of its own, and writes again when the holder of the lock took that for a leftover.
 */
export async function writeDurableShared(target: string, content: string): Promise<void> {
  await guardRepository(`write ${target}`, async () => {
    for (let attempt = 1; ; attempt++) {
      const partial = `${target}.${randomUUID()}${PARTIAL_SUFFIX}`;
      try {
        await writeSynced(partial, content);
        await rename(partial, target);
        await syncFolder(path.dirname(target));
        return;
      } catch (error) {
        await rm(partial, { force: true }).catch(() => {});
        if (errnoOf(error) !== 'ENOENT' || attempt >= SHARED_ATTEMPTS) throw error;
      }
    }
  });
}

/** Makes `target` with `content` (mode 0600) unless it exists; the first of several processes wins. */
export async function createDurable(target: string, content: string): Promise<void> {
  const partial = `${target}.${randomUUID()}${PARTIAL_SUFFIX}`;
  await guardRepository(`create ${target}`, async () => {
    try {
      await writeSynced(partial, content);
      await link(partial, target).catch((error: unknown) => {
        if (errnoOf(error) !== 'EEXIST') throw error;
      });
    } finally {
      // Its name is used once only, so that nobody would find it later.
      await removeQuietly(partial);
    }
    await syncFolder(path.dirname(target));
  });
}

/** Gives a finished file its final name, durably. */
export async function publishFile(partial: string, target: string): Promise<void> {
  await guardRepository(`publish ${target}`, async () => {
    await rename(partial, target);
    await syncFolder(path.dirname(target));
  });
}
