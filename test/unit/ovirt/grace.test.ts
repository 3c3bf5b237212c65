/** Delayed aborts: a request that creates something has time to answer. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CancelledError } from '../../../src/core/errors.ts';
import { deferAbort } from '../../../src/ovirt/lifecycle/deferAbort.ts';

const GRACE_MS = 1000;
const reason = new CancelledError('CANCELLED', 'stopped');

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** Work that waits for its own signal. */
function untilAborted(late: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    late.addEventListener('abort', () => reject(late.reason as Error));
  });
}

describe('withGrace', () => {
  test('does not begin when it is aborted already', async () => {
    const work = vi.fn<() => Promise<void>>();

    await expect(deferAbort(AbortSignal.abort(reason), GRACE_MS, work)).rejects.toBe(reason);

    expect(work).not.toHaveBeenCalled();
  });

  test('returns what the work makes', async () => {
    const { signal } = new AbortController();

    expect(await deferAbort(signal, GRACE_MS, () => Promise.resolve('id'))).toBe('id');
  });

  test('returns what the work makes within the grace, so that it can be removed', async () => {
    const abort = new AbortController();

    const made = deferAbort(abort.signal, GRACE_MS, async (late) => {
      abort.abort(reason);
      await vi.advanceTimersByTimeAsync(GRACE_MS - 1);
      return late.aborted ? 'aborted' : 'id';
    });

    expect(await made).toBe('id');
  });

  test('aborts the work with the same reason when the grace is over', async () => {
    const abort = new AbortController();
    const work = deferAbort(abort.signal, GRACE_MS, untilAborted);
    const outcome = expect(work).rejects.toBe(reason);

    abort.abort(reason);
    await vi.advanceTimersByTimeAsync(GRACE_MS);

    await outcome;
  });

  test('passes the error of the work on', async () => {
    const broken = new Error('broken');
    const { signal } = new AbortController();

    await expect(deferAbort(signal, GRACE_MS, () => Promise.reject(broken))).rejects.toBe(broken);
  });

  test('forgets the signal when the work is done', async () => {
    const abort = new AbortController();
    let seen: AbortSignal | undefined;
    await deferAbort(abort.signal, GRACE_MS, (late) => Promise.resolve((seen = late)));

    abort.abort(reason);

    expect(vi.getTimerCount()).toBe(0);
    expect(seen?.aborted).toBe(false);
  });
});
