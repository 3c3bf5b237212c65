/** Parts of a benchmark: cases, pairs of cases, and topics that group pairs. */
import type { Plot } from './svg.ts';

/** Cost of one execution of a case. */
export interface Outcome {
  /** A cheap proof of the result. All executions of a case must agree on it. */
  readonly checksum: string;
  /** Wall time of the work alone. */
  readonly seconds: number;
  readonly cpuSeconds?: number | undefined;
  /** CPU time of the processes that serve the data, when these are not part of the case. */
  readonly serverCpuSeconds?: number | undefined;
  readonly peakRssBytes?: number | undefined;
  /** 99th percentile of the delay of the event loop. Only our own processes have it. */
  readonly loopDelayMs?: number | undefined;
}

export interface BenchCase {
  readonly name: string;
  run(): Promise<Outcome>;
  /**
   * Called after the warm-up.
   * @returns a digest of the restored bytes; both cases of a pair must agree
   */
  prove?(): Promise<string>;
  /** Restores the state before an execution. Its time does not count. */
  reset?(): Promise<void>;
}

export interface PairSpec {
  readonly title: string;
  readonly ours: BenchCase;
  readonly peer: BenchCase;
  /** Bytes of the source. The base of all rates but those of data. */
  readonly readBytes: number;
  /** Bytes of the source that are neither in holes nor in zero extents. */
  readonly dataBytes: number;
  /** 0 for a smoke test: the warm-up pair gives the numbers. */
  readonly pairs: number;
}

/** Two of the cases of a {@link RoundSpec}. */
export interface Comparison {
  readonly title: string;
  readonly ours: BenchCase;
  readonly peer: BenchCase;
}

/** Several cases that are compared with each other, so that each of them runs once a round. */
export interface RoundSpec {
  readonly comparisons: readonly Comparison[];
  readonly readBytes: number;
  readonly dataBytes: number;
  /** 0 for a smoke test: the warm-up round gives the numbers. */
  readonly rounds: number;
}

/** Medians over the executions of one case. */
export interface CaseResult {
  readonly name: string;
  readonly seconds: number;
  readonly cpuSeconds: number | undefined;
  readonly serverCpuSeconds: number | undefined;
  /** The highest of all executions. */
  readonly peakRssBytes: number | undefined;
  readonly loopDelayMs: number | undefined;
}

/** Ratio of the pairs of executions. */
export interface Ratio {
  readonly median: number;
  /** Bounds of the central 95 % by bootstrap. */
  readonly interval: readonly [number, number];
}

export interface PairResult {
  readonly title: string;
  readonly ours: CaseResult;
  readonly peer: CaseResult;
  readonly pairs: number;
  readonly readBytes: number;
  /** Results from before this was recorded lack it. */
  readonly dataBytes?: number | undefined;
  /** Peer's time divided by ours, median of the pairs. We are faster when it is above 1. */
  readonly speedRatio: number;
  /** Bounds of the central 95 % by bootstrap. */
  readonly interval: readonly [number, number];
  /**
   * Our CPU time divided by the peer's. Undefined when one is unknown, or too short for the clock.
   */
  readonly cpuRatio?: Ratio | undefined;
}

export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface TopicResult {
  readonly pairs: PairResult[];
  readonly tables: Table[];
  readonly plots: Plot[];
  /** Peers and cases that could not run, and why. */
  readonly leftOut: string[];
}

/** The data and the limits of the suite. */
export interface Setting {
  readonly folder: string;
  /** ext4 image with real files. */
  readonly image: string;
  readonly imageBytes: number;
  /** Bytes of the image outside its holes. */
  readonly imageDataBytes: number;
  readonly imageDigest: string;
  readonly isQuick: boolean;
  readonly workers: number;
  /** Replaces the numbers of pairs that the topics choose. */
  readonly pairs: number | undefined;
}

/** The tools of a topic. */
export interface Bench extends Setting {
  /** Number of pairs: as the user asked, or `quick` or `full` by the form of the suite. */
  pairsOf(full: number, quick: number): number;
  /** Measures a pair and shows its row. */
  compare(spec: PairSpec): Promise<PairResult>;
  /** Measures rounds and shows a row for each comparison. */
  compareRounds(spec: RoundSpec): Promise<readonly PairResult[]>;
  table(table: Table): void;
  plot(plot: Plot): void;
  leaveOut(reason: string): void;
}

export interface Topic {
  readonly name: string;
  readonly run: (bench: Bench) => Promise<void>;
}
