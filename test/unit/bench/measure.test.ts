import { describe, expect, it } from 'vitest';
import { measurePairs, measureRounds } from '../../../bench/measure.ts';
import type { BenchCase, PairSpec } from '../../../bench/suite.ts';

/** A case that takes made-up CPU times. */
function burning(name: string, cpuSeconds: readonly (number | undefined)[]): BenchCase {
  const left = [...cpuSeconds];
  return {
    name,
    run: () => Promise.resolve({ checksum: 'same', seconds: 1, cpuSeconds: left.shift() }),
  };
}

/** A case that takes made-up times, and writes down when it runs. */
function scripted(
  name: string,
  seconds: readonly number[],
  calls: string[],
  given: Partial<BenchCase> = {},
): BenchCase {
  const left = [...seconds];
  return {
    name,
    run: () => {
      calls.push(name);
      return Promise.resolve({ checksum: 'same', seconds: left.shift() ?? Number.NaN });
    },
    ...given,
  };
}

function spec(ours: BenchCase, peer: BenchCase, pairs: number): PairSpec {
  return { title: 'ours against peer', ours, peer, pairs, readBytes: 1, dataBytes: 1 };
}

function proving(digest: string): Partial<BenchCase> {
  return { prove: () => Promise.resolve(digest) };
}

describe('measurePairs', () => {
  it('runs a warm-up pair and then pairs in alternating order', async () => {
    const calls: string[] = [];
    const [a, b] = [scripted('a', [9, 1, 1], calls), scripted('b', [9, 2, 2], calls)];
    await measurePairs(spec(a, b, 2));
    expect(calls.join('')).toBe('ababba');
  });

  it('gives the median of the ratios of pairs, without the warm-up', async () => {
    const a = scripted('a', [100, 1, 2, 4], []);
    const b = scripted('b', [1, 2, 6, 4], []);
    const { speedRatio, interval } = await measurePairs(spec(a, b, 3));
    expect(speedRatio).toBe(2);
    expect(interval).toEqual([1, 3]);
  });

  it('gives the CPU ratio of each pair, ours by the peer', async () => {
    const [a, b] = [burning('a', [9, 2, 6, 4]), burning('b', [1, 2, 2, 2])];
    const { cpuRatio } = await measurePairs(spec(a, b, 3));
    expect(cpuRatio).toEqual({ median: 2, interval: [1, 3] });
  });

  it('gives no CPU ratio when a time is unknown or 0', async () => {
    for (const peer of [undefined, 0]) {
      const { cpuRatio } = await measurePairs(
        spec(burning('a', [1, 1, 1]), burning('b', [1, 1, peer]), 2),
      );
      expect(cpuRatio).toBeUndefined();
    }
  });

  it('gives the numbers of the warm-up when no pairs are asked for', async () => {
    const { speedRatio } = await measurePairs(
      spec(scripted('a', [2], []), scripted('b', [3], []), 0),
    );
    expect(speedRatio).toBe(1.5);
  });

  it('gives no numbers when the outputs do not give back the same bytes', async () => {
    const a = scripted('a', [1, 1], [], proving('one'));
    const b = scripted('b', [1, 1], [], proving('other'));
    await expect(measurePairs(spec(a, b, 1))).rejects.toThrow('do not give back the same bytes');
  });

  it('gives no numbers when a case does something else in a later run', async () => {
    let runs = 0;
    const run: BenchCase['run'] = () =>
      Promise.resolve({ checksum: String(runs++ === 2), seconds: 1 });
    const a: BenchCase = { name: 'a', run };
    await expect(measurePairs(spec(a, scripted('b', [1, 1, 1], []), 2))).rejects.toThrow(
      'a: two runs gave different results',
    );
  });

  it('puts things back after each run, and after the proof of the warm-up', async () => {
    const calls: string[] = [];
    const a = scripted('a', [1, 1], calls, {
      prove: () => Promise.resolve(`${calls.push('proof')}`),
      reset: () => Promise.resolve(void calls.push('reset')),
    });
    await measurePairs(spec(a, scripted('b', [1, 1], []), 1));
    expect(calls).toEqual(['a', 'proof', 'reset', 'a', 'reset']);
  });
});

describe('measureRounds', () => {
  it('runs each case once a round, however many comparisons have it', async () => {
    const calls: string[] = [];
    const [a, b, c] = ['a', 'b', 'c'].map((name) => scripted(name, [1, 1, 1, 1], calls));
    await measureRounds({
      comparisons: [
        { title: 'b against a', ours: b!, peer: a! },
        { title: 'c against a', ours: c!, peer: a! },
      ],
      rounds: 3,
      readBytes: 1,
      dataBytes: 1,
    });
    const rounds = [0, 3, 6, 9].map((at) =>
      calls
        .slice(at, at + 3)
        .toSorted()
        .join(''),
    );
    expect([calls.length, rounds]).toEqual([12, ['abc', 'abc', 'abc', 'abc']]);
  });

  it('gives a result for each comparison, from executions of the same round', async () => {
    const a = scripted('a', [1, 2, 4, 8], []);
    const b = scripted('b', [1, 1, 4, 16], []);
    const c = scripted('c', [1, 4, 12, 16], []);
    const results = await measureRounds({
      comparisons: [
        { title: 'first', ours: a, peer: b },
        { title: 'second', ours: a, peer: c },
      ],
      rounds: 3,
      readBytes: 1,
      dataBytes: 1,
    });
    expect(results.map(({ title, speedRatio }) => [title, speedRatio])).toEqual([
      ['first', 1],
      ['second', 2],
    ]);
  });

  it('gives no numbers when one of the cases does not give back the same bytes', async () => {
    const [a, b, c] = ['one', 'one', 'other'].map((digest, k) =>
      scripted(`case ${k}`, [1, 1], [], proving(digest)),
    );
    const comparisons = [
      { title: 'first', ours: a!, peer: b! },
      { title: 'second', ours: c!, peer: a! },
    ];
    await expect(
      measureRounds({ comparisons, rounds: 1, readBytes: 1, dataBytes: 1 }),
    ).rejects.toThrow('second: case 2 and case 0 do not give back the same bytes');
  });
});
