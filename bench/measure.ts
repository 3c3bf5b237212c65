/** Measures two cases in turn (A B, B A, …) and gives the ratio of their times. */
import { interval95, median } from './statistics.ts';
import type { BenchCase, CaseResult, Outcome, PairResult, PairSpec, Ratio } from './suite.ts';

type Numbers = 'cpuSeconds' | 'serverCpuSeconds' | 'loopDelayMs' | 'peakRssBytes';

class Sampler {
  readonly outcomes: Outcome[] = [];
  readonly #case: BenchCase;
  #checksum: string | undefined;

  constructor(benchCase: BenchCase) {
    this.#case = benchCase;
  }

  /** @returns the proof of the output, when the case has one */
  async warmUp(counts: boolean): Promise<string | undefined> {
    const outcome = await this.#case.run();
    this.#check(outcome);
    if (counts) this.outcomes.push(outcome);
    const proof = await this.#case.prove?.();
    await this.#case.reset?.();
    return proof;
  }

  async sample(): Promise<void> {
    const outcome = await this.#case.run();
    await this.#case.reset?.();
    this.#check(outcome);
    this.outcomes.push(outcome);
  }

  get result(): CaseResult {
    const rss = this.#known('peakRssBytes');
    return {
      name: this.#case.name,
      seconds: median(this.seconds),
      cpuSeconds: this.#median('cpuSeconds'),
      serverCpuSeconds: this.#median('serverCpuSeconds'),
      peakRssBytes: rss.length > 0 ? Math.max(...rss) : undefined,
      loopDelayMs: this.#median('loopDelayMs'),
    };
  }

  get seconds(): number[] {
    return this.outcomes.map((outcome) => outcome.seconds);
  }

  /** NaN where it is unknown. */
  get cpuSeconds(): number[] {
    return this.outcomes.map(({ cpuSeconds = Number.NaN }) => cpuSeconds);
  }

  #known(key: Numbers): number[] {
    return this.outcomes.flatMap((outcome) => outcome[key] ?? []);
  }

  #median(key: Numbers): number | undefined {
    const known = this.#known(key);
    return known.length > 0 ? median(known) : undefined;
  }

  #check({ checksum }: Outcome): void {
    this.#checksum ??= checksum;
    if (this.#checksum !== checksum) {
      throw new Error(`${this.#case.name}: two runs gave different results`);
    }
  }
}

function ratioOf(above: readonly number[], below: readonly number[]): Ratio {
  const ratios = above.map((value, k) => value / (below[k] ?? Number.NaN));
  return { median: median(ratios), interval: interval95(ratios) };
}

/** An unknown time, or one of 0, gives no ratio. */
function cpuRatioOf(ours: readonly number[], peer: readonly number[]): Ratio | undefined {
  return [...ours, ...peer].every((seconds) => seconds > 0) ? ratioOf(ours, peer) : undefined;
}

/**
 * Begins with a warm-up pair, whose outputs must give back the same bytes. Then come `pairs` pairs
 * in alternating order. With 0 pairs the numbers are those of the warm-up: a smoke test, not a
 * measurement.
 *
 * @throws an Error instead of giving numbers when outputs differ
 */
export async function measurePairs(spec: PairSpec): Promise<PairResult> {
  const { title, ours, peer, pairs, readBytes, dataBytes } = spec;
  const [a, b] = [new Sampler(ours), new Sampler(peer)];
  const isSmoke = pairs === 0;
  const [proof, peerProof] = [await a.warmUp(isSmoke), await b.warmUp(isSmoke)];
  if (proof !== undefined && peerProof !== undefined && proof !== peerProof) {
    throw new Error(`${title}: ${ours.name} and ${peer.name} do not give back the same bytes`);
  }
  for (let pair = 0; pair < pairs; pair++) {
    for (const sampler of pair % 2 === 0 ? [a, b] : [b, a]) await sampler.sample();
  }
  const speed = ratioOf(b.seconds, a.seconds);
  return {
    title,
    ours: a.result,
    peer: b.result,
    pairs,
    readBytes,
    dataBytes,
    speedRatio: speed.median,
    interval: speed.interval,
    cpuRatio: cpuRatioOf(a.cpuSeconds, b.cpuSeconds),
  };
}
