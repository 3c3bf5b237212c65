import { describe, expect, test } from 'vitest';
import {
  isAccessFailure,
  openFileLimit,
  repositoryFailure,
  retryPassing,
} from '../../../src/core/systemErrors.ts';

function systemError(code: string, message = code): Error {
  return Object.assign(new Error(message), { code });
}

/** Tries of an operation that always fails with `code`. */
async function triesOf(code: string): Promise<number> {
  let tries = 0;
  const work = (): Promise<never> => {
    tries++;
    return Promise.reject(systemError(code));
  };
  await expect(retryPassing(work)).rejects.toMatchObject({ code });
  return tries;
}

describe('the failure of a file of a repository', () => {
  test.each([
    ['EACCES', "EACCES: permission denied, open '/x'", 'open /x: EACCES (permission denied)'],
    ['EIO', 'EIO: i/o error, read', 'open /x: EIO (i/o error)'],
    [
      'Unknown system error -116',
      'Unknown system error -116: Unknown system error -116, read',
      'open /x: ESTALE (stale file handle)',
    ],
  ])('%s names the error and its words', (code, message, expected) => {
    const failure = repositoryFailure('open /x', systemError(code, message));

    expect(failure).toMatchObject({ code: 'REPOSITORY_IO', message: expected });
  });

  test('EMFILE names the limit and how to raise it', () => {
    const failure = repositoryFailure('open /x', systemError('EMFILE'));

    expect(failure.message).toContain(String(openFileLimit()));
    expect(failure.message).toContain('ulimit -n');
    expect(failure.hint).toMatch(/^raise the limit/);
  });

  test('ENFILE says that the whole system is short of files', () => {
    expect(repositoryFailure('open /x', systemError('ENFILE')).hint).toMatch(/whole system/);
  });

  test.each(['ENOSPC', 'EDQUOT', 'Unknown system error -122'])('%s is a full volume', (code) => {
    expect(repositoryFailure('write /x', systemError(code)).code).toBe('REPOSITORY_FULL');
  });

  test('tells files that could not be reached from lost bytes', () => {
    expect(isAccessFailure(repositoryFailure('', systemError('EACCES')))).toBe(true);
    expect(isAccessFailure(repositoryFailure('', systemError('EIO')))).toBe(false);
    expect(isAccessFailure(systemError('EACCES'))).toBe(false);
  });
});

describe('an operation', () => {
  test.each(['Unknown system error -116', 'ETIMEDOUT', 'EAGAIN', 'EINTR', 'EMFILE', 'ENFILE'])(
    'that fails with %s is repeated a few times',
    async (code) => {
      expect(await triesOf(code)).toBe(4);
    },
  );

  test.each(['EIO', 'EACCES', 'ENOENT'])('that fails with %s is not repeated', async (code) => {
    expect(await triesOf(code)).toBe(1);
  });
});
