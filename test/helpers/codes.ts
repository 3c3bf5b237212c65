/** Codes of errors and of messages: tests tell both by code, never by text. */
import { expect } from 'vitest';
import { BackupError, type ErrorCode } from '../../src/core/errors.ts';
import type { SessionMessage } from '../../src/core/messages.ts';

/** Runs `work` and returns its BackupError. Success and other errors fail the test. */
export async function failureOf(work: Promise<unknown> | (() => unknown)): Promise<BackupError> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof BackupError) return error;
    throw error;
  }
  return expect.unreachable('an error was expected');
}

/** Expects `work` to fail with `code`, and returns the error. */
export async function expectCode(
  work: Promise<unknown> | (() => unknown),
  code: ErrorCode,
): Promise<BackupError> {
  const error = await failureOf(work);
  expect(error.code, error.message).toBe(code);
  return error;
}

/** Expects `work` to throw an error with `code` before it returns, and returns the error. */
export function expectCodeSync(work: () => unknown, code: ErrorCode): BackupError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(BackupError);
    expect((error as BackupError).code).toBe(code);
    return error as BackupError;
  }
  return expect.unreachable(`no error, expected ${code}`);
}

/** Codes of the messages of a report, or of all sessions of a lab, in order. */
export function messageCodes(source: {
  readonly messages: readonly Pick<SessionMessage, 'code'>[];
}): string[] {
  return source.messages.map(({ code }) => code);
}
