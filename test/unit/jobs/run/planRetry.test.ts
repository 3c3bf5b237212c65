/** Which plans are tried again, and how often. */
import { expect, it } from 'vitest';
import { CancelledError, EngineError, type ErrorCode } from '../../../../src/core/errors.ts';
import { retryPlan } from '../../../../src/jobs/run/planRetry.ts';
import { failureOf } from '../../../helpers/codes.ts';

/** Tries of a plan that always fails with this code. */
async function triesOf(code: ErrorCode, stop?: AbortController): Promise<number> {
  let count = 0;
  const work = async (): Promise<void> => {
    count++;
    await Promise.reject(new EngineError(code, 'the engine is away'));
  };
  const { signal } = stop ?? new AbortController();
  const planned = retryPlan(work, {
    jobName: 'nightly',
    retry: { times: 2, delayMs: 1000 },
    windowEndMs: undefined,
    clock: {
      now: () => new Date(),
      sleep: async () => {
        stop?.abort(new CancelledError('CANCELLED', 'stopped by SIGTERM'));
        signal.throwIfAborted();
        await Promise.resolve();
      },
    },
    signal,
    note: () => {},
  });
  expect((await failureOf(planned)).code).toBe(stop ? 'CANCELLED' : code);
  return count;
}

it.each([
  ['ENGINE_UNREACHABLE', 3],
  ['ENGINE_FAULT', 3],
  ['ENGINE_AUTH_REFUSED', 1],
  ['ENGINE_TLS_UNTRUSTED', 1],
  ['USAGE_NOT_FOUND', 1],
] as const)('a plan that fails with %s is tried %i times', async (code, tries) => {
  expect(await triesOf(code)).toBe(tries);
});

it('a stop ends the wait for the next try', async () => {
  expect(await triesOf('ENGINE_UNREACHABLE', new AbortController())).toBe(1);
});
