/** The gate. It judges ratios, never absolute times. It is pure, so that tests can see it fail. */
import type { PairResult, Ratio, TopicResult } from './suite.ts';

interface Guard {
  /** Title of the pair. */
  readonly title: string;
  readonly why: string;
  /**
   * Topic that may be left out, where a machine lacks its peer. The limit is kept when the topic
   * says why it was left out.
   */
  readonly optionalTopic?: string;
}

export interface Floor extends Guard {
  /** Smallest allowed speed ratio. The upper end of the interval must reach it. */
  readonly atLeast: number;
}

export interface CpuCeiling extends Guard {
  /** Largest allowed CPU ratio. The lower end of the interval must not exceed it. */
  readonly cpuAtMost: number;
}

export type Limit = Floor | CpuCeiling;

export interface Verdict {
  readonly limit: Limit;
  readonly isKept: boolean;
  readonly text: string;
}

export type Results = Readonly<Record<string, TopicResult>>;

function show({ median, interval: [low, high] }: Ratio): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function judgeSpeed(floor: Floor, { speedRatio, interval }: PairResult): Verdict {
  const isKept = interval[1] >= floor.atLeast;
  const measured = `${show({ median: speedRatio, interval })}, at least ${floor.atLeast}`;
  return {
    limit: floor,
    isKept,
    text: `${floor.title}: ${measured}: ${isKept ? 'kept' : floor.why}`,
  };
}

function judgeCpu(ceiling: CpuCeiling, { cpuRatio }: PairResult): Verdict {
  const { title, cpuAtMost, why } = ceiling;
  const head = `${title}, CPU time`;
  if (!cpuRatio) return { limit: ceiling, isKept: false, text: `${head}: was not measured` };
  const isKept = cpuRatio.interval[0] <= cpuAtMost;
  const measured = `${show(cpuRatio)}, at most ${cpuAtMost}`;
  return { limit: ceiling, isKept, text: `${head}: ${measured}: ${isKept ? 'kept' : why}` };
}

/** A pair that was not measured keeps no limit, unless its topic may be left out and says why. */
function judgeAbsent(limit: Limit, results: Results): Verdict {
  const reasons = limit.optionalTopic === undefined ? [] : results[limit.optionalTopic]?.leftOut;
  const reason = reasons?.[0];
  if (reason === undefined)
    return { limit, isKept: false, text: `${limit.title}: was not measured` };
  return { limit, isKept: true, text: `${limit.title}: left out, not judged: ${reason}` };
}

/**
 * One verdict for each limit. A limit is not kept when its pair has no number, or was not measured
 * without a reason.
 */
export function judge(results: Results, limits: readonly Limit[]): Verdict[] {
  const pairs = Object.values(results).flatMap((topic) => topic.pairs);
  return limits.map((limit) => {
    const pair = pairs.find(({ title }) => title === limit.title);
    if (!pair) return judgeAbsent(limit, results);
    return 'atLeast' in limit ? judgeSpeed(limit, pair) : judgeCpu(limit, pair);
  });
}
