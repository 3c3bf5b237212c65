import { describe, expect, test } from 'vitest';
import {
  assertNever,
  BackupError,
  CancelledError,
  ERROR_CODES,
  errnoOf,
  EXIT_CODES,
  exitCodeOf,
  FormatError,
  IntegrityError,
  InternalError,
  invariant,
  isOutOfSpace,
  OutputError,
  RepositoryError,
  toFailure,
  TransferError,
  UsageError,
} from '../../../src/core/errors.ts';
import { expectCodeSync } from '../../helpers/codes.ts';

function errnoError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe('exit codes', () => {
  test.each([
    ['a missing repository', new RepositoryError('REPOSITORY_NOT_FOUND', ''), 10],
    ['a locked repository', new RepositoryError('REPOSITORY_LOCKED', ''), 11],
    ['a full repository', new RepositoryError('REPOSITORY_FULL', ''), 1],
    ['found damage', new IntegrityError('INTEGRITY_DAMAGE_FOUND', ''), 13],
    ['one damaged block', new IntegrityError('INTEGRITY_CRC_MISMATCH', ''), 1],
    ['a bad option', new UsageError('USAGE_INVALID_OPTION', ''), 2],
    ['a failed read', new TransferError('TRANSFER_READ_FAILED', ''), 1],
    ['a full output', new OutputError('OUTPUT_FULL', ''), 1],
    ['a foreign file', new FormatError('FORMAT_BAD_MAGIC', ''), 1],
    ['a cancelled run', new CancelledError('CANCELLED', ''), 130],
    ['a crashed worker', new InternalError('WORKER_CRASHED', ''), 70],
    ['an error of nobody', new TypeError('oops'), 70],
    ['a thrown string', 'oops', 70],
  ])('tell %s apart', (_case, error, exitCode) => {
    expect(exitCodeOf(error)).toBe(exitCode);
  });

  test('are all different', () => {
    const codes = Object.values(EXIT_CODES);

    expect(new Set(codes).size).toBe(codes.length);
  });
});

describe('the error family', () => {
  test('has no code twice', () => {
    expect(new Set(ERROR_CODES).size).toBe(ERROR_CODES.length);
  });

  test('names the class in the name of the error', () => {
    expect(new TransferError('TRANSFER_SHORT_READ', 'text').name).toBe('TransferError');
  });

  test('keeps cause, hint and details', () => {
    const cause = new Error('below');

    const error = new OutputError('OUTPUT_IO', 'text', {
      cause,
      hint: 'do',
      details: { sizeBytes: 1 },
    });

    expect(error).toMatchObject({ cause, hint: 'do', details: { sizeBytes: 1 }, retryable: false });
  });

  test.each(['EMFILE', 'ENFILE'])('calls no lack of open files a bug: %s', (errno) => {
    const error = new InternalError('WORKER_CRASHED', `a worker thread failed: ${errno}: x`);

    expect(error.hint).toMatch(/raise/);
  });

  test('has no cause when none is given', () => {
    expect('cause' in new OutputError('OUTPUT_IO', 'text')).toBe(false);
  });
});

describe('the name of a system error', () => {
  test.each([
    ['EACCES', 'EACCES'],
    ['Unknown system error -116', 'ESTALE'],
    ['Unknown system error -122', 'EDQUOT'],
    ['Unknown system error -99999', 'Unknown system error -99999'],
  ])('of code "%s" is %s', (code, name) => {
    expect(errnoOf(errnoError(code))).toBe(name);
  });

  test('tells a quota from other errors although libuv does not know it', () => {
    expect(isOutOfSpace(errnoError('Unknown system error -122'))).toBe(true);
  });
});

describe('toFailure', () => {
  test('passes an error of the family', () => {
    const error = new TransferError('TRANSFER_READ_FAILED', 'text');

    expect(toFailure(error)).toBe(error);
  });

  test('makes an abort a cancelled run', () => {
    const signal = AbortSignal.abort();

    expect(toFailure(signal.reason, signal)).toBeInstanceOf(CancelledError);
  });

  test('gives the reason of an abort when it is of the family', () => {
    const reason = new RepositoryError('REPOSITORY_LOCKED', 'text');
    const aborted = Object.assign(new Error('aborted'), { name: 'AbortError' });

    expect(toFailure(aborted, AbortSignal.abort(reason))).toBe(reason);
  });

  test('makes a foreign reason of an abort a cancelled run that keeps it', () => {
    const reason = new Error('operator');

    const failure = toFailure(reason, AbortSignal.abort(reason));

    expect([failure.code, failure.cause]).toEqual(['CANCELLED', reason]);
  });

  test('does not call an error cancelled only because the signal is aborted', () => {
    expect(toFailure(new Error('disk'), AbortSignal.abort()).code).toBe('INTERNAL_INVARIANT');
  });

  test('keeps an unknown error as cause', () => {
    const error = new TypeError('oops');

    const failure = toFailure(error);

    expect([failure.code, failure.message, failure.cause]).toEqual([
      'INTERNAL_INVARIANT',
      'oops',
      error,
    ]);
  });

  test('takes a thrown value that is no error', () => {
    expect(toFailure('oops')).toBeInstanceOf(BackupError);
  });
});

describe('helpers', () => {
  test('invariant passes what holds', () => {
    expect(() => invariant(true, 'text')).not.toThrow();
  });

  test('invariant throws for what does not hold', () => {
    expectCodeSync(() => invariant(0, 'text'), 'INTERNAL_INVARIANT');
  });

  test('assertNever throws for a value from outside the types', () => {
    expectCodeSync(() => assertNever({ kind: 'new' } as never), 'INTERNAL_INVARIANT');
  });

  test.each([
    ['ENOSPC', true],
    ['EDQUOT', true],
    ['EIO', false],
  ])('isOutOfSpace of %s is %s', (code, expected) => {
    expect(isOutOfSpace(errnoError(code))).toBe(expected);
  });

  test('errnoOf knows only codes that are text', () => {
    expect([errnoOf(errnoError('EIO')), errnoOf(new Error('x')), errnoOf('EIO')]).toEqual([
      'EIO',
      undefined,
      undefined,
    ]);
  });
});
