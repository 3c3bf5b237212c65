/** Measures cases in turn (A B, B A, …) and gives the ratios of their times. */
import { interval95, median } from './statistics.ts';
import type {
  BenchCase,
  CaseResult,
  Comparison,
  Outcome,
  PairResult,
  PairSpec,
  Ratio,
  RoundSpec,
} from './suite.ts';

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

type Turn = (samplers: readonly Sampler[], round: number) => readonly Sampler[];

/** A B, B A, A B, … */
const alternating: Turn = (samplers, round) => (round % 2 === 0 ? samplers : samplers.toReversed());

const atRandom: Turn = (samplers) =>
  samplers
    .map((sampler) => ({ sampler, rank: Math.random() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ sampler }) => sampler);

async function measure(spec: RoundSpec, turn: Turn): Promise<readonly PairResult[]> {
  const { comparisons, rounds, readBytes, dataBytes } = spec;
  const samplers = new Map<BenchCase, Sampler>();
  for (const one of comparisons.flatMap(({ ours, peer }) => [ours, peer])) {
    if (!samplers.has(one)) samplers.set(one, new Sampler(one));
  }
  const all = [...samplers.values()];
  const proofs = new Map<BenchCase, string | undefined>();
  for (const [one, sampler] of samplers) proofs.set(one, await sampler.warmUp(rounds === 0));
  for (const comparison of comparisons) expectSameBytes(comparison, proofs);
  for (let round = 0; round < rounds; round++) {
    for (const sampler of turn(all, round)) await sampler.sample();
  }
  return comparisons.map(({ title, ours, peer }) => {
    const [a, b] = [samplers.get(ours)!, samplers.get(peer)!];
    const speed = ratioOf(b.seconds, a.seconds);
    return {
      title,
      ours: a.result,
      peer: b.result,
      pairs: rounds,
      readBytes,
      dataBytes,
      speedRatio: speed.median,
      interval: speed.interval,
      cpuRatio: cpuRatioOf(a.cpuSeconds, b.cpuSeconds),
    };
  });
}

function expectSameBytes(
  { title, ours, peer }: Comparison,
  proofs: ReadonlyMap<BenchCase, string | undefined>,
): void {
  const [proof, peerProof] = [proofs.get(ours), proofs.get(peer)];
  if (proof !== undefined && peerProof !== undefined && proof !== peerProof) {
    throw new Error(`${title}: ${ours.name} and ${peer.name} do not give back the same bytes`);
  }
}

/**
 * Begins with a warm-up pair, whose outputs must give back the same bytes. Then come `pairs` pairs
 * in alternating order. With 0 pairs the numbers are those of the warm-up: a smoke test, not a
 * measurement.
 *
 * @throws an Error instead of giving numbers when outputs differ
 */
export async function measurePairs({ pairs, ...spec }: PairSpec): Promise<PairResult> {
  const [result] = await measure({ ...spec, comparisons: [spec], rounds: pairs }, alternating);
  return result!;
}

/**
 * Like {@link measurePairs}, for more cases than two. Each round runs every case once, in random
 * order. Ratios are those of executions of the same round.
 *
 * @returns a result for each comparison, in their order
 */
export async function measureRounds(spec: RoundSpec): Promise<readonly PairResult[]> {
  return await measure(spec, atRandom);
}
