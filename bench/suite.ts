/** What a benchmark is made of: cases, pairs of them, and the topics that hold them together. */
import type { Plot } from './svg.ts';

/** What one run of a case cost. */
export interface Outcome {
  /** What the case produced, cheap to get; all runs of a case have to agree. */
  readonly checksum: string;
  /** Wall time of the work alone. */
  readonly seconds: number;
  readonly cpuSeconds?: number | undefined;
  /** CPU time of what serves the data, where that is another process. */
  readonly serverCpuSeconds?: number | undefined;
  readonly peakRssBytes?: number | undefined;
  /** 99th percentile of how late the event loop was; only of our own processes. */
  readonly loopDelayMs?: number | undefined;
}

export interface BenchCase {
  readonly name: string;
  run(): Promise<Outcome>;
  /** After the warm-up run: digest of the bytes that its output gives back. Both cases of a pair have to agree. */
  prove?(): Promise<string>;
  /** Puts things back after a run, outside of its time. */
  reset?(): Promise<void>;
}

export interface PairSpec {
  readonly title: string;
  readonly ours: BenchCase;
  readonly peer: BenchCase;
  /** Bytes of the source that a run reads: base of all rates. */
  readonly readBytes: number;
  /** 0 for a smoke test: then the warm-up pair gives the numbers. */
  readonly pairs: number;
}

/** Medians over the runs of one case. */
export interface CaseResult {
  readonly name: string;
  readonly seconds: number;
  readonly cpuSeconds: number | undefined;
  readonly serverCpuSeconds: number | undefined;
  /** The highest of all runs. */
  readonly peakRssBytes: number | undefined;
  readonly loopDelayMs: number | undefined;
}

export interface PairResult {
  readonly title: string;
  readonly ours: CaseResult;
  readonly peer: CaseResult;
  readonly pairs: number;
  readonly readBytes: number;
  /** Peer's time over ours, median of the pairs: above 1 we are faster. */
  readonly speedRatio: number;
  /** Bounds of the central 95 % by bootstrap. */
  readonly interval: readonly [number, number];
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

/** The data and the limits of this run. */
export interface Setting {
  readonly folder: string;
  /** ext4 image with real files. */
  readonly image: string;
  readonly imageBytes: number;
  readonly imageDigest: string;
  readonly isQuick: boolean;
  readonly workers: number;
  /** Overrides what the topics choose. */
  readonly pairs: number | undefined;
}

/** What a topic gets to work with. */
export interface Bench extends Setting {
  /** Pairs of a comparison: as asked for, or by the form of the run. */
  pairsOf(full: number, quick: number): number;
  /** Measures a pair and shows its row. */
  compare(spec: PairSpec): Promise<PairResult>;
  table(table: Table): void;
  plot(plot: Plot): void;
  leaveOut(reason: string): void;
}

export interface Topic {
  readonly name: string;
  readonly run: (bench: Bench) => Promise<void>;
}
