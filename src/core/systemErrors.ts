/**
 * Errors of the operating system on files of a repository. They say nothing about the bytes of a
 * file, so no session takes them for damage.
 */
import { readFileSync } from 'node:fs';
import { type ErrorCode, errnoOf, isOutOfSpace, openFilesHint, RepositoryError } from './errors.ts';
import { retry } from './retry.ts';

/** A second try may succeed: the server or the system was only busy, or a handle is old. */
const PASSING_ERRNOS = new Set(['ESTALE', 'ETIMEDOUT', 'EAGAIN', 'EINTR', 'EMFILE', 'ENFILE']);
const ATTEMPTS = 4;
const FIRST_DELAY_MS = 100;

/** Words for errors to which Node gives none. */
const WORDS: Readonly<Record<string, string>> = { ESTALE: 'stale file handle' };

let limit: number | undefined;

/** Most files that this process may hold open; undefined where the system does not tell. */
export function openFileLimit(): number | undefined {
  // With no file left to open this read fails too. So the first answer is kept.
  limit ??= readLimit();
  return limit;
}

function readLimit(): number | undefined {
  try {
    const found = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return found ? Number(found[1]) : undefined;
  } catch {
    // Only Linux has this file.
    return undefined;
  }
}

/**
 * Repeats an operation that changes nothing, while its error may pass: four tries in 0.7 s.
 *
 * @param onRetry - called before each pause.
 * @throws the last error of `work`
 */
export async function retryPassing<T>(
  work: () => Promise<T>,
  onRetry: () => void = () => {},
): Promise<T> {
  return await retry(
    {
      attempts: ATTEMPTS,
      firstDelayMs: FIRST_DELAY_MS,
      shouldRetry: (error) => PASSING_ERRNOS.has(errnoOf(error) ?? ''),
      onRetry,
      signal: undefined,
    },
    work,
  );
}

function textOf(error: unknown): string {
  const errno = errnoOf(error);
  if (errno === undefined) return error instanceof Error ? error.message : String(error);
  if (errno === 'EMFILE') {
    const most = openFileLimit() ?? 'a limited number of';
    return `EMFILE (this process may hold ${most} files open at the same time, see "ulimit -n")`;
  }
  const words = /^E[A-Z0-9]+: ([^,]+)/.exec((error as Error).message)?.[1] ?? WORDS[errno];
  return words ? `${errno} (${words})` : errno;
}

/** Codes of a place that does not answer, or does not answer us. */
const UNREACHED = new Set<ErrorCode>([
  'REPOSITORY_UNREACHABLE',
  'REPOSITORY_REFUSED',
  'REPOSITORY_CLOCK',
]);

/** True for an error of the whole place of a repository, not of one file. */
export function isUnreached(error: unknown): boolean {
  return error instanceof RepositoryError && isUnreachedCode(error.code);
}

/** As {@link isUnreached}, for the code of an error. */
export function isUnreachedCode(code: ErrorCode): boolean {
  return UNREACHED.has(code);
}

/**
 * True for an error of the operating system in its typed form, {@link repositoryFailure}, and for
 * the same of object storage.
 */
export function isSystemFailure(error: unknown): error is RepositoryError {
  const isOfFile = error instanceof RepositoryError && error.code === 'REPOSITORY_IO';
  return isOfFile || isUnreached(error);
}

/**
 * True when a file could not be reached, so nobody saw its bytes. EIO is not such an error: a
 * device that cannot give the bytes back may have lost them.
 */
export function isAccessFailure(error: unknown): boolean {
  return isSystemFailure(error) && error.details['errno'] !== 'EIO';
}

/** True when a device could not give bytes back (EIO). They may be lost. */
export function isDeviceFailure(error: unknown): boolean {
  return isSystemFailure(error) && !isAccessFailure(error);
}

/**
 * The typed form of an error of the operating system, `REPOSITORY_FULL` or `REPOSITORY_IO`.
 *
 * @param what - the action and its file, as the message names them.
 */
export function repositoryFailure(what: string, error: unknown): RepositoryError {
  if (isOutOfSpace(error)) {
    return new RepositoryError('REPOSITORY_FULL', `${what}: no space left`, {
      cause: error,
      hint: 'free space on the repository volume and run the session again; the restore points before it are untouched',
    });
  }
  const errno = errnoOf(error);
  return new RepositoryError('REPOSITORY_IO', `${what}: ${textOf(error)}`, {
    cause: error,
    hint: openFilesHint(errno ?? '') ?? 'check the repository volume and its permissions',
    details: { errno },
  });
}
