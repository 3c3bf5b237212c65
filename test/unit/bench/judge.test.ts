import { describe, expect, it } from 'vitest';
import { type Floor, judge } from '../../../bench/judge.ts';
import type { PairResult, TopicResult } from '../../../bench/suite.ts';

const FLOOR: Floor = { title: 'a against b', atLeast: 0.85, why: 'too slow' };

function topicOf(interval: readonly [number, number], title = FLOOR.title): TopicResult {
  const side = {
    name: 'a',
    seconds: 1,
    cpuSeconds: undefined,
    serverCpuSeconds: undefined,
    peakRssBytes: undefined,
    loopDelayMs: undefined,
  };
  const speedRatio = (interval[0] + interval[1]) / 2;
  const pair: PairResult = {
    title,
    ours: side,
    peer: side,
    pairs: 3,
    readBytes: 1,
    speedRatio,
    interval,
  };
  return { pairs: [pair], tables: [], plots: [], leftOut: [] };
}

function isKept(topics: Readonly<Record<string, TopicResult>>): boolean {
  return judge(topics, [FLOOR]).every((verdict) => verdict.isKept);
}

describe('judge', () => {
  it('keeps a floor that the interval reaches', () => {
    expect(isKept({ one: topicOf([0.7, 0.85]) })).toBe(true);
  });

  it('fails when the whole interval is below the floor', () => {
    expect(isKept({ one: topicOf([0.7, 0.849]) })).toBe(false);
  });

  it('says what was measured and why that is too little', () => {
    const [verdict] = judge({ one: topicOf([0.4, 0.6]) }, [FLOOR]);
    expect(verdict?.text).toBe('a against b: 0.50 (0.40 to 0.60), at least 0.85: too slow');
  });

  it('fails when the pair was not measured', () => {
    expect(isKept({ one: topicOf([1, 1], 'another pair') })).toBe(false);
  });

  it('fails when there is no number', () => {
    expect(isKept({ one: topicOf([Number.NaN, Number.NaN]) })).toBe(false);
  });

  it('finds a pair in any topic', () => {
    expect(isKept({ one: topicOf([2, 2], 'another pair'), two: topicOf([0.9, 1]) })).toBe(true);
  });
});
