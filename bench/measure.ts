/** Runs two cases in turn (A B, B A, …) and prints the ratio of their times. */
import { interval95, median } from './statistics.ts';

export interface Outcome {
  /** What the case produced; equal inputs have to give equal checksums over all its runs. */
  readonly checksum: string;
  /** Wall time of the work alone. */
  readonly seconds: number;
  readonly peakRssBytes?: number | undefined;
  readonly cpuSeconds?: number | undefined;
}

export interface BenchCase {
  readonly name: string;
  run(): Promise<Outcome>;
}

export interface PairResult {
  readonly title: string;
  readonly ours: string;
  readonly peer: string;
  readonly pairs: number;
  readonly oursSeconds: number;
  readonly peerSeconds: number;
  /** Peer's time over ours, median of the pairs: above 1 we are faster. */
  readonly speedRatio: number;
  readonly interval: readonly [number, number];
  readonly peakRssBytes: number;
  readonly cpuSeconds: number;
}

class Sampler {
  readonly seconds: number[] = [];
  peakRssBytes = 0;
  cpuSeconds: number[] = [];
  readonly #case: BenchCase;
  #checksum: string | undefined;

  constructor(benchCase: BenchCase) {
    this.#case = benchCase;
  }

  async sample(): Promise<void> {
    const outcome = await this.#case.run();
    this.seconds.push(outcome.seconds);
    this.#checksum ??= outcome.checksum;
    if (this.#checksum !== outcome.checksum) {
      throw new Error(`${this.#case.name}: two runs gave different results`);
    }
    this.peakRssBytes = Math.max(this.peakRssBytes, outcome.peakRssBytes ?? 0);
    if (outcome.cpuSeconds !== undefined) this.cpuSeconds.push(outcome.cpuSeconds);
  }

  forgetWarmUp(): void {
    this.seconds.length = 0;
    this.cpuSeconds.length = 0;
  }
}

/** One warm-up pair, then `pairs` pairs in alternating order. */
export async function measurePairs(
  title: string,
  ours: BenchCase,
  peer: BenchCase,
  pairs: number,
): Promise<PairResult> {
  const [a, b] = [new Sampler(ours), new Sampler(peer)];
  await a.sample();
  await b.sample();
  for (const sampler of [a, b]) sampler.forgetWarmUp();
  for (let pair = 0; pair < pairs; pair++) {
    for (const sampler of pair % 2 === 0 ? [a, b] : [b, a]) await sampler.sample();
  }
  const ratios = a.seconds.map((seconds, k) => (b.seconds[k] ?? Number.NaN) / seconds);
  return {
    title,
    ours: ours.name,
    peer: peer.name,
    pairs,
    oursSeconds: median(a.seconds),
    peerSeconds: median(b.seconds),
    speedRatio: median(ratios),
    interval: interval95(ratios),
    peakRssBytes: a.peakRssBytes,
    cpuSeconds: a.cpuSeconds.length > 0 ? median(a.cpuSeconds) : 0,
  };
}
