/** Retries: how often, how long, at what pace, and how an abort ends them. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CancelledError } from '../../../src/core/errors.ts';
import { pause, retry, type RetryOptions } from '../../../src/core/retry.ts';

interface PauseOptions {
  readonly signal?: AbortSignal;
}

/** Pauses that were made, in milliseconds. None of them lasts; the clock advances by each. */
const pauses = vi.hoisted((): number[] => []);
const onPause = vi.hoisted((): { do: () => void } => ({ do: () => {} }));
vi.mock('node:timers/promises', () => ({
  setTimeout: async (ms: number, _value: unknown, { signal }: PauseOptions = {}): Promise<void> => {
    pauses.push(ms);
    onPause.do();
    await Promise.resolve();
    if (signal?.aborted) throw Object.assign(new Error('aborted'), { name: 'AbortError' });
  },
}));

const broken = new Error('broken');
const reason = new CancelledError('CANCELLED', 'stopped');
const options: RetryOptions = { firstDelayMs: 100, shouldRetry: () => true, signal: undefined };

beforeEach(() => {
  pauses.length = 0;
  onPause.do = () => {};
  vi.spyOn(performance, 'now').mockImplementation(() => pauses.reduce((sum, ms) => sum + ms, 0));
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** Work that fails `count` times. */
function failing(count: number): () => Promise<string> {
  let tries = 0;
  return vi.fn<() => Promise<string>>(() =>
    tries++ < count ? Promise.reject(broken) : Promise.resolve('done'),
  );
}

describe('retry', () => {
  test('returns what the first try gives, without a pause', async () => {
    expect(await retry(options, failing(0))).toBe('done');
    expect(pauses).toEqual([]);
  });

  test('doubles its pauses', async () => {
    expect(await retry(options, failing(5))).toBe('done');
    expect(pauses).toEqual([100, 200, 400, 800, 1600]);
  });

  test('pauses no longer than the longest pause', async () => {
    await retry({ ...options, maxDelayMs: 250 }, failing(4));

    expect(pauses).toEqual([100, 200, 250, 250]);
  });

  test('keeps a steady pace when the first pause is the longest one', async () => {
    await retry({ ...options, maxDelayMs: 100 }, failing(3));

    expect(pauses).toEqual([100, 100, 100]);
  });

  test.each([1, 2, 6])('fails with the last error after %i tries', async (attempts) => {
    const work = failing(Infinity);

    await expect(retry({ ...options, attempts }, work)).rejects.toBe(broken);

    expect(work).toHaveBeenCalledTimes(attempts);
    expect(pauses).toHaveLength(attempts - 1);
  });

  test('tries once more at the very end of its window, but not after it', async () => {
    const work = failing(Infinity);

    await expect(retry({ ...options, windowMs: 300 }, work)).rejects.toBe(broken);

    expect(pauses).toEqual([100, 200, 400]);
    expect(work).toHaveBeenCalledTimes(4);
  });

  test('tries once more after a pause that outlasts the window', async () => {
    expect(await retry({ ...options, windowMs: 1 }, failing(1))).toBe('done');
  });

  test('does not repeat an error that is final', async () => {
    const work = failing(Infinity);

    await expect(retry({ ...options, shouldRetry: () => false }, work)).rejects.toBe(broken);

    expect(work).toHaveBeenCalledTimes(1);
    expect(pauses).toEqual([]);
  });

  test('asks about each error once, the last one included', async () => {
    const shouldRetry = vi.fn<(error: unknown) => boolean>(() => true);

    await expect(retry({ ...options, attempts: 3, shouldRetry }, failing(3))).rejects.toBe(broken);

    expect(shouldRetry.mock.calls).toEqual([[broken], [broken], [broken]]);
  });

  test('fails with the error that the rule throws', async () => {
    const shouldRetry = (): boolean => {
      throw reason;
    };

    await expect(retry({ ...options, shouldRetry }, failing(1))).rejects.toBe(reason);
  });

  test('tells of each pause before it', async () => {
    const told: unknown[] = [];
    const onRetry = (...all: unknown[]): void => {
      told.push([...all, pauses.length]);
    };

    await expect(retry({ ...options, attempts: 3, onRetry }, failing(3))).rejects.toBe(broken);

    expect(told).toEqual([
      [broken, 100, 0],
      [broken, 200, 1],
    ]);
  });

  test('ends its pause with the reason of the abort', async () => {
    const abort = new AbortController();
    onPause.do = () => abort.abort(reason);
    const work = failing(Infinity);

    await expect(retry({ ...options, signal: abort.signal }, work)).rejects.toBe(reason);

    expect(work).toHaveBeenCalledTimes(1);
  });

  test('leaves an abort while it works to the work and to its rule', async () => {
    const signal = AbortSignal.abort(reason);
    const final = { ...options, signal, shouldRetry: () => false };

    expect(await retry({ ...options, signal }, failing(0))).toBe('done');
    await expect(retry(final, failing(1))).rejects.toBe(broken);
  });
});

describe('pause', () => {
  test('hands errors on that are no abort', async () => {
    onPause.do = () => {
      throw broken;
    };

    await expect(pause(1, new AbortController().signal)).rejects.toBe(broken);
  });
});
