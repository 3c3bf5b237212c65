import { describe, expect, it } from 'vitest';
import { groupThreads } from '../../../bench/threadShares.ts';

const NAMES = '10 main\n11 V8\n12 V8\n20 worker blockWorker\n21 worker blockWorker\n';

describe('groupThreads', () => {
  it('sums the threads of a name and divides by the wall time', () => {
    const before = new Map([
      ['10', 1],
      ['20', 2],
      ['21', 2],
    ]);
    const after = new Map([
      ['10', 2],
      ['20', 5],
      ['21', 4],
    ]);
    expect(groupThreads(NAMES, { before, after, wallSeconds: 4 })).toEqual([
      { name: 'main', threads: 1, busyShare: 0.25 },
      { name: 'worker blockWorker', threads: 2, busyShare: 1.25 },
    ]);
  });

  it('counts all time of a thread that began later', () => {
    const after = new Map([['20', 3]]);
    const [group] = groupThreads(NAMES, { before: new Map(), after, wallSeconds: 4 });
    expect(group?.busyShare).toBe(0.75);
  });

  it('takes threads without a name for those of libuv', () => {
    const after = new Map([
      ['30', 1],
      ['31', 0],
    ]);
    expect(groupThreads(NAMES, { before: new Map(), after, wallSeconds: 2 })).toEqual([
      { name: 'libuv', threads: 2, busyShare: 0.5 },
    ]);
  });
});
