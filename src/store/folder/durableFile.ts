/**
 * Writes files so that they appear whole or not at all: temporary name, data, sync, rename, sync of
 * the folder.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { BackupError, errnoOf, RepositoryError } from '../../core/errors.ts';
import { repositoryFailure, retryPassing } from '../../core/systemErrors.ts';
import type { FileContent } from '../store.ts';
import { openRegular } from './regularFile.ts';

/** Ending of files that are being written. The holder of the lock may delete all such files. */
export const PARTIAL_SUFFIX = '.partial';

/** Most files are smaller. */
const SMALL_BYTES = 1023;

/**
 * Makes a folder, and folders above it that are missing, with mode 0700. A folder that exists stays
 * as it is. Node's recursive `mkdir` never ends where a folder exists but takes no new ones, as in
 * /proc. Errors of the operating system pass unchanged.
 */
export async function makeFolder(folder: string): Promise<void> {
  const parent = path.dirname(folder);
  if (parent !== folder && !(await exists(parent))) await makeFolder(parent);
  await mkdir(folder, { mode: 0o700 }).catch(async (error: unknown) => {
    const isThere = errnoOf(error) === 'EEXIST' && (await stat(folder)).isDirectory();
    if (!isThere) throw error;
  });
}

/** False only for ENOENT. Other errors of the system pass unchanged. */
export async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** After this call, new and renamed files in the folder survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Runs `work` and turns operating-system errors into typed ones. Other errors pass unchanged.
 *
 * @param what - the action, as the message names it.
 * @throws {@link RepositoryError} `REPOSITORY_FULL`, `REPOSITORY_IO`
 */
export async function guardRepository<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!errnoOf(error) || error instanceof BackupError) throw error;
    throw repositoryFailure(what, error);
  }
}

/**
 * As {@link guardRepository}, for work that changes nothing. It is repeated while its error may
 * pass.
 */
export async function guardRead<T>(what: string, work: () => Promise<T>): Promise<T> {
  return await guardRepository(what, () => retryPassing(work));
}

/**
 * Reads a whole text file. Errors of the operating system pass unchanged, after retries where they
 * may pass.
 *
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` when it has more than `maxBytes`,
 *   or is no regular file
 */
export async function readText(file: string, maxBytes: number): Promise<string> {
  return (await readBytes(file, maxBytes)).toString('utf8');
}

/** As {@link readText}. The buffer belongs to the caller. */
export async function readBytes(file: string, maxBytes: number): Promise<Buffer> {
  return await retryPassing(() => readOnce(file, maxBytes));
}

async function readOnce(file: string, maxBytes: number): Promise<Buffer> {
  const handle = await openRegular(file);
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) throw tooLong(file, maxBytes);
    // The size is not enough: the file may grow, and files in /proc report size 0.
    let bytes = Buffer.allocUnsafe(Math.max(size, SMALL_BYTES) + 1);
    for (let totalBytes = 0; ; ) {
      const { bytesRead } = await handle.read(bytes, totalBytes, bytes.length - totalBytes);
      if (bytesRead === 0) return bytes.subarray(0, totalBytes);
      totalBytes += bytesRead;
      if (totalBytes > maxBytes) throw tooLong(file, maxBytes);
      if (totalBytes === bytes.length) bytes = Buffer.concat([bytes], 2 * totalBytes);
    }
  } finally {
    await handle.close();
  }
}

function tooLong(file: string, maxBytes: number): RepositoryError {
  return new RepositoryError(
    'REPOSITORY_METADATA_INVALID',
    `${file} has more than ${maxBytes} B; no file of a repository is so large`,
    { hint: 'move it away; "ovirt-cbt rescan" rebuilds chain metadata' },
  );
}

/** Deletes a file and ignores errors. For clean-up: its error must not hide the first error. */
export async function removeQuietly(file: string): Promise<void> {
  await rm(file, { force: true }).catch(() => {});
}

async function writeSynced(file: string, content: FileContent): Promise<void> {
  await writeAndClose(await open(file, 'wx', 0o600), content);
}

async function writeAndClose(handle: FileHandle, content: FileContent): Promise<void> {
  try {
    await handle.writeFile(content, 'utf8');
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What proves that a process may still change the files of a folder. */
export interface Fence {
  /** Part of the names of temporary files. No other holder of the lock has the same. */
  readonly tag: string;
  /** @throws {@link RepositoryError} `REPOSITORY_LOCKED` when another process has the lock */
  check(): Promise<void>;
}

/** Temporary name of a file. With a fence no other holder of the lock writes to it. */
export function partialOf(target: string, fence: Fence | undefined): string {
  return fence ? `${target}.${fence.tag}${PARTIAL_SUFFIX}` : `${target}${PARTIAL_SUFFIX}`;
}

/**
 * Gives a finished file its name, if the lock is still held. A process that takes the lock over
 * between the check and the rename deletes `partial`. So the rename fails, or it came first.
 */
export async function renameFenced(
  partial: string,
  target: string,
  fence: Fence | undefined,
): Promise<void> {
  try {
    await fence?.check();
    await rename(partial, target);
  } catch (error) {
    // Its name is never used again, so no later writer would delete the file.
    if (fence) await removeQuietly(partial);
    if (errnoOf(error) === 'ENOENT') await fence?.check();
    throw error;
  }
}

/**
 * Replaces the file `target` with `content` (mode 0600). After a crash it has the old or the new
 * content.
 *
 * @throws {@link RepositoryError} `REPOSITORY_FULL`, `REPOSITORY_IO`, and what the fence throws
 */
export async function writeDurable(
  target: string,
  content: FileContent,
  fence?: Fence,
): Promise<void> {
  const partial = partialOf(target, fence);
  await guardRepository(`write ${target}`, async () => {
    await rm(partial, { force: true });
    await writeSynced(partial, content);
    await renameFenced(partial, target, fence);
    await syncFolder(path.dirname(target));
  });
}

/** Errors of `link` on a file system without hard links. Network file systems also give EIO. */
const NO_LINK_ERRNOS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EIO']);

/** True when an error of `link` may mean that the file system has no hard links. */
export function lacksLinks(error: unknown): boolean {
  return NO_LINK_ERRNOS.has(errnoOf(error) ?? '');
}

/**
 * Gives the file `own`, which holds `content`, the second name `target`, unless that name exists.
 * On a file system without hard links it creates `target` instead. Another process may then see a
 * part of the content for a moment. Errors of the operating system pass unchanged.
 *
 * @param content - not the content of any other file, so that it proves who made `target`.
 * @returns true when `target` is the new file.
 */
export async function linkOrCreate(
  own: string,
  target: string,
  content: FileContent,
): Promise<boolean> {
  try {
    await link(own, target);
    return true;
  } catch (error) {
    // A network file system may lose the answer and report the second try: the link may exist.
    if (errnoOf(error) === 'EEXIST') return await holds(target, content);
    if (!lacksLinks(error)) throw error;
  }
  return await createExclusively(target, content);
}

async function holds(file: string, content: FileContent): Promise<boolean> {
  const wanted = Buffer.from(content);
  return await readBytes(file, wanted.length).then(
    (bytes) => bytes.equals(wanted),
    () => false,
  );
}

async function createExclusively(target: string, content: FileContent): Promise<boolean> {
  let handle: FileHandle;
  try {
    handle = await open(target, 'wx', 0o600);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return await holds(target, content);
    throw error;
  }
  try {
    await writeAndClose(handle, content);
    return true;
  } catch (error) {
    await removeQuietly(target);
    throw error;
  }
}

const SHARED_ATTEMPTS = 3;

/**
 * Like {@link writeDurable}, for files that are replaced without the lock of the chain. Each writer
 * uses its own temporary name. It writes again when the holder of the lock deleted that file as a
 * leftover.
 *
 * @throws {@link RepositoryError} `REPOSITORY_FULL`, `REPOSITORY_IO`
 */
export async function writeDurableShared(target: string, content: FileContent): Promise<void> {
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

/**
 * Creates the file `target` with `content` (mode 0600) unless it exists. Of several processes the
 * first one wins.
 *
 * @returns false when there was one.
 * @throws {@link RepositoryError} `REPOSITORY_FULL`, `REPOSITORY_IO`
 */
export async function createDurable(target: string, content: FileContent): Promise<boolean> {
  const partial = `${target}.${randomUUID()}${PARTIAL_SUFFIX}`;
  return await guardRepository(`create ${target}`, async () => {
    let isMade = false;
    try {
      await writeSynced(partial, content);
      isMade = await linkOrCreate(partial, target, content);
    } finally {
      // The random name is never used again, so no later writer would delete the file.
      await removeQuietly(partial);
    }
    await syncFolder(path.dirname(target));
    return isMade;
  });
}

/**
 * Gives a finished file its final name. The name survives a power cut.
 *
 * @throws {@link RepositoryError} `REPOSITORY_FULL`, `REPOSITORY_IO`
 */
export async function publishFile(partial: string, target: string, fence?: Fence): Promise<void> {
  await guardRepository(`publish ${target}`, async () => {
    await renameFenced(partial, target, fence);
    await syncFolder(path.dirname(target));
  });
}
