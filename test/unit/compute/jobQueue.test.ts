import { describe, expect, test } from 'vitest';
import { JobQueue, type QueuedJob } from '../../../src/compute/jobQueue.ts';
import {
  JOB_EXPAND,
  JOB_HASH,
  JOB_PACK,
  JOB_FINGERPRINT_RANGE,
  JOB_READ,
  JOB_UNPACK,
  type WorkerJob,
} from '../../../src/compute/workerJobs.ts';

/** The only thread, after the wait for more jobs. */
const LATE = { isIdle: true, idleCount: 1, isLate: true } as const;

function nothing(): void {}

function jobOf(kind: WorkerJob['kind'], resultIndex: number): QueuedJob {
  const job = { kind, resultIndex, sourceOffset: 0, sourceBytes: 0, targetOffset: 0 };
  return {
    job: { ...job, targetBytes: 0, codecNumber: 0, fileDescriptor: -1, blockSizeBytes: 0 },
    resolve: nothing,
    reject: nothing,
  };
}

const KINDS: Readonly<Record<string, WorkerJob['kind']>> = {
  h: JOB_HASH,
  r: JOB_READ,
  l: JOB_FINGERPRINT_RANGE,
  u: JOB_UNPACK,
  e: JOB_EXPAND,
};

/**
 * A queue with jobs 0, 1, 2 … in the order of the letters: h for `hash`, r for `read`, l for
 * `fingerprintRange`, u for `unpack`, e for `expand`, p for `pack`.
 */
function queueOf(letters: string, threadCount = 1, packedCount = 32): JobQueue {
  const queue = new JobQueue(threadCount, packedCount);
  for (const [index, letter] of Array.from(letters).entries()) {
    queue.push(jobOf(KINDS[letter] ?? JOB_PACK, index));
  }
  return queue;
}

function indexes(batch: readonly QueuedJob[]): number[] {
  return batch.map((queued) => queued.job.resultIndex);
}

describe('a job queue', () => {
  test.each([
    ['an idle thread all of a few jobs', 'ppp', true, 1, [0, 1, 2]],
    ['an idle thread no more than four short jobs', 'rhrhr', true, 1, [0, 1, 2, 3]],
    ['an idle thread no more than four blocks to expand', 'eeeee', true, 1, [0, 1, 2, 3]],
    ['an idle thread no more than eight', 'pppppppppp', true, 1, [0, 1, 2, 3, 4, 5, 6, 7]],
    ['each of two idle threads half', 'ppppp', true, 2, [0, 1, 2]],
    ['a busy thread a full batch', 'ppppppppp', false, 0, [0, 1, 2, 3, 4, 5, 6, 7]],
    ['a busy thread no part of a batch of digests', 'ppppppp', false, 0, []],
    ['a busy thread any number of fingerprints', 'hh', false, 0, [0, 1]],
    ['fingerprints first, since packing waits for them', 'pphp', true, 1, [2]],
    ['looks one by one, also to a busy thread', 'lll', false, 0, [0]],
    ['reads before looks, since what was found has to leave', 'llr', true, 1, [2]],
    ['nothing when there is nothing', '', true, 1, []],
  ])('gives %s', (_title, letters, isIdle, idleCount, expected) => {
    expect(indexes(queueOf(letters).take({ isIdle, idleCount, isLate: true }))).toEqual(expected);
  });

  test('gives every job once', () => {
    const queue = queueOf('phplpppppppppph');
    const batches = Array.from({ length: 5 }, () => indexes(queue.take(LATE)));

    expect(batches.flat().toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 15 }).map((_, k) => k),
    );
  });

  test('is empty after it was drained', () => {
    const queue = queueOf('hlp');

    expect(indexes(queue.drain())).toEqual([0, 1, 2]);
    expect(queue.take(LATE)).toEqual([]);
  });

  test.each(['h', 'l', 'p'])('gives back a job of kind %s while it waits', (letter) => {
    const queue = new JobQueue(1, 32);
    const [first, second] = [
      jobOf(KINDS[letter] ?? JOB_PACK, 0),
      jobOf(KINDS[letter] ?? JOB_PACK, 1),
    ];
    queue.push(first);
    queue.push(second);

    expect(queue.remove(first)).toBe(true);
    expect(indexes(queue.take(LATE))).toEqual([1]);
    expect(queue.remove(second)).toBe(false);
  });

  test.each([
    ['a part of a batch to pack', 'ppppppp', 1, []],
    ['a full batch to pack', 'pppppppp', 1, [0, 1, 2, 3, 4, 5, 6, 7]],
    ['a part of a batch to unpack', 'uuu', 1, [0, 1, 2]],
    ['a share of what many threads have to pack', 'pp', 8, [0, 1]],
    ['fingerprints, while blocks to pack wait', 'pph', 1, [2]],
  ])('gives an idle thread in time: %s', (_title, letters, threadCount, expected) => {
    const queue = queueOf(letters, threadCount);

    expect(indexes(queue.take({ ...LATE, isLate: false }))).toEqual(expected);
  });

  test.each([
    ['p', 1, true],
    ['pppppppp', 1, false],
    ['pp', 8, false],
    ['u', 1, false],
    ['ph', 1, false],
    ['', 1, false],
  ])('%j for %i threads gathers blocks: %s', (letters, threadCount, expected) => {
    expect(queueOf(letters, threadCount).isGathering).toBe(expected);
  });

  test.each([
    [25, 2, 6],
    [6, 1, 3],
    [3, 2, 1],
  ])('of %i packed slots and %i threads needs %i blocks for a batch', (slots, threads, goal) => {
    const letters = 'p'.repeat(goal);

    expect(queueOf(letters, threads, slots).isGathering).toBe(false);
    expect(queueOf(letters.slice(1), threads, slots).isGathering).toBe(goal > 1);
  });
});
