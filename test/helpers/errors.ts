/** Expectations on errors: by code, never by text. */
import { expect } from 'vitest';
import { BackupError, type ErrorCode } from '../../src/core/errors.ts';

/** Runs `work` and returns the error of the family that it ends with; anything else fails the test. */
export async function failureOf(work: Promise<unknown> | (() => unknown)): Promise<BackupError> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof BackupError) return error;
    throw error;
  }
  return expect.unreachable('an error was expected');
}

/** Expects `work` to fail with `code`. */
export async function expectCode(
  work: Promise<unknown> | (() => unknown),
  code: ErrorCode,
): Promise<void> {
  const error = await failureOf(work);
  expect(error.code, error.message).toBe(code);
}
