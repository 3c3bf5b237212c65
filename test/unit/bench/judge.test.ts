import { describe, expect, it } from 'vitest';
import { type CpuCeiling, type Floor, judge, type Limit } from '../../../bench/judge.ts';
import { LIMITS } from '../../../bench/limits.ts';
import type { PairResult, TopicResult } from '../../../bench/suite.ts';

const FLOOR: Floor = { title: 'a against b', atLeast: 0.85, why: 'too slow' };
const CEILING: CpuCeiling = { title: 'a against b', cpuAtMost: 2, why: 'too much work' };

type Interval = readonly [number, number];

function middle([low, high]: Interval): number {
  return (low + high) / 2;
}

function topicOf(given: Partial<PairResult>): TopicResult {
  const side = {
    name: 'a',
    seconds: 1,
    cpuSeconds: undefined,
    serverCpuSeconds: undefined,
    peakRssBytes: undefined,
    loopDelayMs: undefined,
  };
  const pair: PairResult = {
    title: FLOOR.title,
    ours: side,
    peer: side,
    pairs: 3,
    readBytes: 1,
    dataBytes: 1,
    speedRatio: 1,
    interval: [1, 1],
    ...given,
  };
  return { pairs: [pair], tables: [], plots: [], leftOut: [] };
}

function withSpeed(interval: Interval, title = FLOOR.title): TopicResult {
  return topicOf({ title, speedRatio: middle(interval), interval });
}

function withCpu(interval: Interval, title = CEILING.title): TopicResult {
  return topicOf({ title, cpuRatio: { median: middle(interval), interval } });
}

function isKept(topics: Readonly<Record<string, TopicResult>>, limit: Limit = FLOOR): boolean {
  return judge(topics, [limit]).every((verdict) => verdict.isKept);
}

describe('judge, speed', () => {
  it('keeps a floor that the interval reaches', () => {
    expect(isKept({ one: withSpeed([0.7, 0.85]) })).toBe(true);
  });

  it('fails when the whole interval is below the floor', () => {
    expect(isKept({ one: withSpeed([0.7, 0.849]) })).toBe(false);
  });

  it('says what was measured and why that is too little', () => {
    const [verdict] = judge({ one: withSpeed([0.4, 0.6]) }, [FLOOR]);
    expect(verdict?.text).toBe('a against b: 0.50 (0.40 to 0.60), at least 0.85: too slow');
  });

  it('fails when the pair was not measured', () => {
    expect(isKept({ one: withSpeed([1, 1], 'another pair') })).toBe(false);
  });

  it('fails when there is no number', () => {
    expect(isKept({ one: withSpeed([Number.NaN, Number.NaN]) })).toBe(false);
  });

  it('finds a pair in any topic', () => {
    expect(isKept({ one: withSpeed([2, 2], 'another pair'), two: withSpeed([0.9, 1]) })).toBe(true);
  });
});

describe('judge, CPU time', () => {
  it('keeps a ceiling that the interval reaches', () => {
    expect(isKept({ one: withCpu([2, 9]) }, CEILING)).toBe(true);
  });

  it('fails when the whole interval is above the ceiling', () => {
    expect(isKept({ one: withCpu([2.001, 9]) }, CEILING)).toBe(false);
  });

  it('says what was measured and why that is too much', () => {
    const [verdict] = judge({ one: withCpu([3, 5]) }, [CEILING]);
    expect(verdict?.text).toBe(
      'a against b, CPU time: 4.00 (3.00 to 5.00), at most 2: too much work',
    );
  });

  it('fails when the pair has no CPU ratio', () => {
    expect(isKept({ one: topicOf({}) }, CEILING)).toBe(false);
  });

  it('fails when there is no number', () => {
    expect(isKept({ one: withCpu([Number.NaN, Number.NaN]) }, CEILING)).toBe(false);
  });
});

describe('judge, a topic that may be left out', () => {
  const limit: Floor = { ...FLOOR, optionalTopic: 'two' };
  const leftOut: TopicResult = { pairs: [], tables: [], plots: [], leftOut: ['b is missing'] };

  it('is not judged when it says why it was left out', () => {
    const [verdict] = judge({ two: leftOut }, [limit]);
    expect(verdict).toMatchObject({
      isKept: true,
      text: 'a against b: left out, not judged: b is missing',
    });
  });

  it('fails when it gives no reason, or was not run', () => {
    expect(isKept({ two: { ...leftOut, leftOut: [] } }, limit)).toBe(false);
    expect(isKept({ one: leftOut }, limit)).toBe(false);
  });

  it('is judged when it was measured', () => {
    expect(isKept({ two: withSpeed([0.1, 0.2]) }, limit)).toBe(false);
  });

  it('does not excuse another limit', () => {
    expect(isKept({ two: leftOut }, FLOOR)).toBe(false);
  });
});

const FLOORS = LIMITS.filter((limit) => 'atLeast' in limit);
const CEILINGS = LIMITS.filter((limit) => 'cpuAtMost' in limit);

describe('the limits of the gate', () => {
  it.each(FLOORS)('$title: a speed below $atLeast fails', (limit) => {
    const { title, atLeast } = limit;
    const worse = atLeast * 0.99;
    expect(isKept({ one: withSpeed([atLeast, atLeast], title) }, limit)).toBe(true);
    expect(isKept({ one: withSpeed([worse, worse], title) }, limit)).toBe(false);
  });

  it.each(CEILINGS)('$title: a CPU ratio above $cpuAtMost fails', (limit) => {
    const { title, cpuAtMost } = limit;
    const worse = cpuAtMost * 1.01;
    expect(isKept({ one: withCpu([cpuAtMost, cpuAtMost], title) }, limit)).toBe(true);
    expect(isKept({ one: withCpu([worse, worse], title) }, limit)).toBe(false);
  });

  it('covers every limit', () => {
    expect(FLOORS.length).toBeGreaterThan(0);
    expect(CEILINGS.length).toBeGreaterThan(0);
    expect(FLOORS.length + CEILINGS.length).toBe(LIMITS.length);
  });
});
