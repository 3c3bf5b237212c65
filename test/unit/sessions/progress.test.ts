import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CancelledError } from '../../../src/core/errors.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { type ProgressEvent, SessionProgress } from '../../../src/sessions/shared/progress.ts';

const DISK = { diskId: 'd1', alias: 'sys', sizeBytes: 100, dataBytes: 10 };
const FACTS = { sessionId: 's1', vmName: 'web01' };

let events: ProgressEvent[];
let counts: { doneBytes: number; readBytes: number };
let progress: SessionProgress;

beforeEach(() => {
  vi.useFakeTimers();
  events = [];
  counts = { doneBytes: 0, readBytes: 0 };
  progress = create();
});
afterEach(() => vi.useRealTimers());

const onProgress = (event: ProgressEvent): void => void events.push(event);

function create(signal?: AbortSignal): SessionProgress {
  return new SessionProgress({ onProgress, signal }, silentLogger, FACTS);
}

/** Reads the disk. `work` can take fake time. */
async function read(work: () => Promise<void>, disk = DISK): Promise<void> {
  await progress.disk(disk, () => ({ ...counts }), work);
}

function types(): string[] {
  return events.map((event) => ('result' in event ? `${event.type} ${event.result}` : event.type));
}

describe('a disk', () => {
  test('has a start, its progress and an end', async () => {
    await read(async () => {
      counts.doneBytes = 4;
      await vi.advanceTimersByTimeAsync(250);
      counts = { doneBytes: 10, readBytes: 8 };
    });

    expect(events).toEqual([
      { type: 'diskStarted', ...DISK, ...FACTS, vmId: '' },
      expect.objectContaining({ type: 'diskProgress', alias: 'sys', doneBytes: 4, readBytes: 0 }),
      expect.objectContaining({ type: 'diskEnded', diskId: 'd1', doneBytes: 10, result: 'done' }),
    ]);
  });

  test('has progress at most every 250 ms, and only when something was done', async () => {
    await read(async () => {
      for (let k = 0; k < 10; k++) {
        counts.doneBytes++;
        await vi.advanceTimersByTimeAsync(100);
      }
      await vi.advanceTimersByTimeAsync(10_000);
    });

    expect(types().filter((type) => type === 'diskProgress')).toHaveLength(4);
  });

  test('that fails stops the others: those are cancelled', async () => {
    const failure = Promise.reject(new Error('broken'));
    const other = { ...DISK, diskId: 'd2' };

    const both = [read(() => failure), read(() => failure.then(), other)];

    await Promise.allSettled(both);
    expect(types().slice(2)).toEqual(['diskEnded failed', 'diskEnded cancelled']);
  });

  test('of a new plan can fail again', async () => {
    await read(() => Promise.reject(new Error('broken'))).catch(() => {});
    progress.planDisks([DISK]);
    await read(() => Promise.reject(new Error('broken'))).catch(() => {});

    expect(types().filter((type) => type === 'diskEnded failed')).toHaveLength(2);
  });

  test.each([
    ['an error of ours', () => new CancelledError('CANCELLED', 'stopped')],
    ['the reason of the signal', (signal: AbortSignal): unknown => signal.reason],
  ])('is cancelled by %s', async (_name, errorOf) => {
    const stop = new AbortController();
    progress = create(stop.signal);

    const reading = read(async () => {
      stop.abort();
      await Promise.reject(errorOf(stop.signal));
    });

    await expect(reading).rejects.toBeDefined();
    expect(types()).toEqual(['diskStarted', 'diskEnded cancelled']);
  });

  test.each(['done', 'failed'])('leaves no timer when it has %s', async (end) => {
    await read(async () => {
      if (end === 'failed') await Promise.reject(new Error('broken'));
    }).catch(() => {});

    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a session', () => {
  test('ends once, with its result', async () => {
    await progress.session(async () => progress.end('failed'));

    expect(types()).toEqual(['ended failed']);
  });

  test('that throws has failed, and the error passes', async () => {
    const failing = progress.session(() => Promise.reject(new Error('broken')));

    await expect(failing).rejects.toThrow('broken');
    expect(types()).toEqual(['ended failed']);
  });

  test('tells a phase that lasts once, and names its VM as soon as it knows it', () => {
    progress.phase('preparing');
    progress.nameVm({ id: 'v1', name: 'Web' });
    progress.phase('preparing');
    progress.phase('reading');

    expect(events).toEqual([
      { type: 'phase', phase: 'preparing', ...FACTS, vmId: '' },
      { type: 'phase', phase: 'reading', sessionId: 's1', vmName: 'Web', vmId: 'v1' },
    ]);
  });

  test('goes on when a callback throws, and logs it', async () => {
    const warn = vi.fn();
    const log = { ...silentLogger, warn } as unknown as typeof silentLogger;
    const buggy = vi.fn().mockImplementation(() => {
      throw new Error('a bug of the caller');
    });
    progress = new SessionProgress({ onProgress: buggy }, log, FACTS);

    await expect(
      progress.session(() => read(() => vi.advanceTimersByTimeAsync(250).then())),
    ).resolves.toBeUndefined();

    expect(warn).toHaveBeenCalledWith({ reason: 'Error: a bug of the caller' }, expect.any(String));
  });
});

test('a container has progress at most every 250 ms, and at its end', () => {
  for (let k = 1; k <= 100; k++) {
    progress.containerChecked('a.vbk', k, 100);
    vi.advanceTimersByTime(10);
  }

  const checked = events.map((event) => event.type === 'containerProgress' && event.checkedBlocks);
  expect(checked).toEqual([1, 26, 51, 76, 100]);
});
