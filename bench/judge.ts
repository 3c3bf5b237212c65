/** The gate. It judges ratios, never absolute times. It is pure, so that tests can see it fail. */
import type { PairResult, TopicResult } from './suite.ts';

export interface Floor {
  /** Title of the pair. */
  readonly title: string;
  /** Smallest allowed speed ratio. The upper end of the interval must reach it. */
  readonly atLeast: number;
  readonly why: string;
}

export interface Verdict {
  readonly floor: Floor;
  readonly isKept: boolean;
  readonly text: string;
}

export type Results = Readonly<Record<string, TopicResult>>;

function judgeOne(floor: Floor, pair: PairResult | undefined): Verdict {
  if (!pair) return { floor, isKept: false, text: `${floor.title}: was not measured` };
  const [low, high] = pair.interval;
  const isKept = high >= floor.atLeast;
  const measured = `${pair.speedRatio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
  const text = `${floor.title}: ${measured}, at least ${floor.atLeast}: ${isKept ? 'kept' : floor.why}`;
  return { floor, isKept, text };
}

/**
 * One verdict for each floor. A floor is not kept when its pair was not measured or has no number.
 */
export function judge(results: Results, floors: readonly Floor[]): Verdict[] {
  const pairs = Object.values(results).flatMap((topic) => topic.pairs);
  return floors.map((floor) =>
    judgeOne(
      floor,
      pairs.find((pair) => pair.title === floor.title),
    ),
  );
}
