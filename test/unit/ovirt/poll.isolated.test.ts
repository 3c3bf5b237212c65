/** Polls of the engine: a slowing pace, a deadline, and an abort that ends the pause. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { CancelledError } from '../../../src/core/errors.ts';
import { pollUntil, type PollOptions } from '../../../src/ovirt/poll.ts';
import { DEFAULT_TIMINGS } from '../../../src/ovirt/timings.ts';
import { expectCode } from '../../helpers/codes.ts';

interface PauseOptions {
  readonly signal?: AbortSignal;
}

/** Pauses that were made, in milliseconds. None of them lasts. */
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

const options: PollOptions = {
  timings: DEFAULT_TIMINGS,
  deadlineMs: 60_000,
  what: 'backup of web01 ready',
};

beforeEach(() => {
  pauses.length = 0;
  onPause.do = () => {};
});

/** Answers the n-th question; undefined before. */
function answerAt(n: number): { ask: () => Promise<string | undefined>; count: () => number } {
  let asked = 0;
  return { ask: () => Promise.resolve(++asked < n ? undefined : 'done'), count: () => asked };
}

describe('pollUntil', () => {
  test('returns the first answer without a pause', async () => {
    expect(await pollUntil(answerAt(1).ask, options)).toBe('done');
    expect(pauses).toEqual([]);
  });

  test('takes false and null for answers', async () => {
    expect(await pollUntil(() => Promise.resolve(false), options)).toBe(false);
    expect(await pollUntil(() => Promise.resolve(null), options)).toBeNull();
  });

  test('asks more slowly from time to time, up to the slowest pace', async () => {
    await pollUntil(answerAt(13).ask, options);

    const { pollMinMs, pollMaxMs } = DEFAULT_TIMINGS;
    expect(pauses[0]).toBe(pollMinMs);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(new Set(pauses.slice(0, 4)).size).toBe(4);
    expect(pauses.slice(-2)).toEqual([pollMaxMs, pollMaxMs]);
  });

  test('waits before the first question too when the state cannot be reached yet', async () => {
    expect(await pollUntil(answerAt(1).ask, { ...options, waitsFirst: true })).toBe('done');
    expect(pauses).toEqual([DEFAULT_TIMINGS.pollMinMs]);
  });

  test('makes all pauses longer by a factor', async () => {
    await pollUntil(answerAt(13).ask, { ...options, pauseFactor: 2 });

    const { pollMinMs, pollMaxMs } = DEFAULT_TIMINGS;
    expect([pauses[0], pauses.at(-1)]).toEqual([2 * pollMinMs, 2 * pollMaxMs]);
  });

  test('ends at the deadline with an error that carries it', async () => {
    const { ask, count } = answerAt(Infinity);

    const error = await expectCode(
      pollUntil(ask, { ...options, deadlineMs: -1, hint: 'look there' }),
      'ENGINE_PHASE_TIMEOUT',
    );

    expect(count()).toBe(1);
    expect(error).toMatchObject({ hint: 'look there', details: { deadlineMs: -1 } });
    expect(error.message).toContain('backup of web01 ready');
  });

  test('takes an answer that comes after the deadline', async () => {
    expect(await pollUntil(answerAt(1).ask, { ...options, deadlineMs: -1 })).toBe('done');
  });

  test('passes an error of the question on', async () => {
    const broken = new Error('broken');

    await expect(pollUntil(() => Promise.reject(broken), options)).rejects.toBe(broken);
  });

  test('asks nothing when it was aborted before', async () => {
    const { ask, count } = answerAt(1);
    const reason = new CancelledError('CANCELLED', 'stopped');

    const asked = pollUntil(ask, { ...options, signal: AbortSignal.abort(reason) });

    await expect(asked).rejects.toBe(reason);
    expect(count()).toBe(0);
  });

  test('ends its pause with the reason of the abort', async () => {
    const { ask, count } = answerAt(Infinity);
    const abort = new AbortController();
    const reason = new CancelledError('CANCELLED', 'stopped');
    onPause.do = () => abort.abort(reason);

    await expect(pollUntil(ask, { ...options, signal: abort.signal })).rejects.toBe(reason);

    expect(count()).toBe(1);
  });
});
