import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type BusyClock,
  clockOf,
  createStageStats,
  type StageStats,
} from '../../../src/core/stats.ts';

describe('BusyClock', () => {
  let stats: StageStats;
  let clock: BusyClock;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
    stats = createStageStats();
    clock = clockOf(stats);
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  test('counts overlapping work once as busy and twice as work', () => {
    const first = clock.start();
    vi.advanceTimersByTime(10);
    const second = clock.start();
    vi.advanceTimersByTime(10);
    clock.stop(first);
    vi.advanceTimersByTime(10);
    clock.stop(second);

    expect([stats.busyMs, stats.workMs]).toEqual([30, 40]);
  });

  test('is shared by stages that count into the same statistics, but for waiting', () => {
    const others = clockOf(stats);
    const waiting = clockOf(stats, 'waitSlotMs');

    const [first, second, third] = [clock.start(), others.start(), waiting.start()];
    vi.advanceTimersByTime(10);
    clock.stop(first);
    others.stop(second);
    waiting.stop(third);

    expect(stats).toMatchObject({ busyMs: 10, workMs: 20, waitSlotMs: 10 });
    expect(clockOf(createStageStats())).not.toBe(clock);
  });

  test('leaves out the pause between two pieces of work', () => {
    const first = clock.start();
    vi.advanceTimersByTime(10);
    clock.stop(first);
    vi.advanceTimersByTime(100);
    const second = clock.start();
    vi.advanceTimersByTime(5);
    clock.stop(second);

    expect([stats.busyMs, stats.workMs]).toEqual([15, 15]);
  });

  test('counts work that fails', async () => {
    const failing = clock.time(async () => {
      vi.advanceTimersByTime(7);
      throw new Error('failed');
    });

    await expect(failing).rejects.toThrow('failed');
    expect(stats.busyMs).toBe(7);
  });

  test('returns what the work returns', async () => {
    expect(await clock.time(async () => 42)).toBe(42);
  });
});

test('a new stage has counted nothing', () => {
  expect(Object.values(createStageStats()).every((value) => value === 0)).toBe(true);
});
