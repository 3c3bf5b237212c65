/** Assertions on the stable code of an error, never on its text. */
import { expect } from 'vitest';
import { BackupError, type ErrorCode } from '../../src/core/errors.ts';

function checked(error: unknown, code: ErrorCode): BackupError {
  expect(error).toBeInstanceOf(BackupError);
  expect((error as BackupError).code).toBe(code);
  return error as BackupError;
}

/** Waits for `promise` to reject with `code` and returns the error. */
export async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<BackupError> {
  const outcome = await promise.then(
    () => `no error, expected ${code}`,
    (error: unknown) => error,
  );
  return checked(outcome, code);
}

/** Runs `work`, which has to throw an error with `code`, and returns the error. */
export function expectCodeSync(work: () => unknown, code: ErrorCode): BackupError {
  let outcome: unknown = `no error, expected ${code}`;
  try {
    work();
  } catch (error) {
    outcome = error;
  }
  return checked(outcome, code);
}
