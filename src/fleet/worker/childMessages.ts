/** Messages between a worker and its processes for sessions. */
import type { OvirtTimings } from '../../ovirt/timings.ts';
import type { FeedEvent } from '../feed.ts';
import type { SessionOutcome } from '../outcome.ts';

/** A session for a process. */
export interface ChildTask {
  /** Absolute path of the job file of the worker. */
  readonly file: string;
  readonly jobName: string;
  readonly label: string;
  readonly vmId: string;
  readonly repositoryId: string;
  readonly digests: Readonly<Record<string, string>>;
  readonly bytesPerSecond: number | undefined;
  /** Time until the window ends; undefined without a window. */
  readonly windowLeftMs: number | undefined;
  readonly lockPatienceMs: number;
  /** Patience with the engine. @defaultValue as sessions have it */
  readonly engineTimings: OvirtTimings | undefined;
  readonly logLevel: string;
}

export type ToChild =
  | { readonly type: 'run'; readonly task: ChildTask }
  | { readonly type: 'cancel' }
  /** Closes what is open, and ends the process. */
  | { readonly type: 'quit' };

export type FromChild =
  | { readonly type: 'event'; readonly event: FeedEvent }
  /** A line of the log, as JSON. */
  | { readonly type: 'log'; readonly line: string }
  | { readonly type: 'outcome'; readonly outcome: SessionOutcome };
