/**
 * What the console shows and does, as data of its API. All times are ISO 8601 in UTC, all sizes are
 * bytes. Names come from guests and engines: treat them as text, never as markup.
 */
import type { DiskMode } from '../flow/records.ts';
import type { SessionMessage } from '../core/messages.ts';
import type { RunOutcome } from '../jobs/runReport.ts';
import type { ProgressPhase, ProgressResult } from '../sessions/shared/progress.ts';

/** `readOnly` sees everything and starts nothing. */
export type Role = 'operator' | 'readOnly';

/**
 * State of a VM in a job. `good`: its last run gave a point, and the point is not older than the
 * schedule allows. `late`: the point is older. `warning`: good, with a message. `failed`: its last
 * session failed. `never`: it has no point. `damaged`: verify found damage.
 */
export type VmHealth = 'good' | 'warning' | 'late' | 'failed' | 'never' | 'damaged';

/** A VM of a job. A VM that two jobs back up has two rows. */
export interface VmRow {
  readonly jobName: string;
  /** Id of the VM, or its name where the id is unknown. Unique in a job. */
  readonly vmKey: string;
  readonly vmName: string;
  readonly health: VmHealth;
  readonly lastOutcome: RunOutcome | 'notStarted';
  /** Time of the last point. */
  readonly lastSuccessAt?: string | undefined;
  readonly lastDurationSeconds?: number | undefined;
  readonly lastReadBytes?: number | undefined;
  readonly lastStoredBytes?: number | undefined;
  readonly lastPointType?: 'full' | 'increment' | undefined;
  readonly lockedUntil?: string | undefined;
  /** Of the session that runs now. */
  readonly sessionId?: string | undefined;
}

export interface JobRow {
  readonly name: string;
  readonly engineName: string;
  readonly repositoryName: string;
  readonly schedule?: string | undefined;
  readonly next?: string | undefined;
  /** Of the run that goes on now. */
  readonly runId?: string | undefined;
  readonly lastRun?:
    | { readonly startedAt: string; readonly endedAt: string; readonly outcome: RunOutcome }
    | undefined;
  readonly vmCount: number;
}

export interface PointRow {
  readonly pointId: string;
  /** Counts the points of a chain. */
  readonly number: number;
  readonly type: 'full' | 'increment';
  readonly createdAt: string;
  readonly fileName: string;
  readonly fileBytes: number;
  readonly parentPointId: string;
  readonly lockedUntil?: string | undefined;
  readonly isDamaged?: boolean | undefined;
  readonly disks: readonly {
    readonly diskId: string;
    readonly alias: string;
    readonly sizeBytes: number;
  }[];
  /** True when {@link ConsoleSources.blockMap} has an answer. */
  readonly hasMap: boolean;
}

export interface Chain {
  readonly jobName: string;
  readonly vmKey: string;
  readonly vmName: string;
  /** Oldest first. */
  readonly points: readonly PointRow[];
}

/** Where a disk changed, was zero, or is unchanged: see `container/write/blockTally.ts`. */
export interface DiskMap {
  readonly diskId: string;
  readonly alias: string;
  readonly sizeBytes: number;
  readonly mode: DiskMode;
  readonly cellBytes: number;
  /** A character a cell. */
  readonly cells: string;
}

export interface RunRow {
  readonly runId: string;
  readonly jobName: string;
  readonly startedAt: string;
  readonly durationSeconds: number;
  readonly outcome: RunOutcome;
  readonly vmCount: number;
  readonly failedVmCount: number;
  readonly readBytes: number;
  readonly storedBytes: number;
}

export interface LiveDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly mode?: DiskMode | undefined;
  readonly sizeBytes: number;
  readonly dataBytes?: number | undefined;
  readonly doneBytes: number;
  readonly readBytes: number;
  readonly result?: ProgressResult | undefined;
}

/** A container that verify reads now. */
export interface LiveContainer {
  readonly fileName: string;
  readonly checkedBlocks: number;
  readonly totalBlocks: number;
}

/** A session that runs, of a job or of a task. */
export interface LiveSession {
  readonly sessionId: string;
  readonly vmName: string;
  /** Empty until the VM is known. */
  readonly vmId: string;
  readonly jobName?: string | undefined;
  readonly runId?: string | undefined;
  readonly taskId?: string | undefined;
  /** Name of the worker that runs it. Absent for this process. */
  readonly worker?: string | undefined;
  readonly startedAt: string;
  readonly phase: ProgressPhase;
  /** What it waits for now, as a sentence part. */
  readonly waitsFor?: string | undefined;
  readonly readBytesPerSecond?: number | undefined;
  readonly disks: readonly LiveDisk[];
  /** Only in verify. */
  readonly containers?: readonly LiveContainer[] | undefined;
  /** Set in the last event of a session. */
  readonly result?: ProgressResult | undefined;
}

export interface RepositoryRow {
  readonly name: string;
  readonly place: string;
  readonly vmCount: number;
  readonly pointCount: number;
  readonly storedBytes: number;
  readonly freeBytes?: number | undefined;
  /** Size at the end of each day that has points, oldest first. Of the points that still exist. */
  readonly growth: readonly { readonly day: string; readonly storedBytes: number }[];
  /** Why it cannot be read now. */
  readonly problem?: string | undefined;
}

/** A process that takes sessions from the queue. */
export interface WorkerRow {
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly productVersion: string;
  readonly labels: readonly string[];
  readonly parallelVms: number;
  readonly runningVms: readonly string[];
  readonly startedAt: string;
  readonly seenAt: string;
}

/** Names a disk of a point for a task. */
export interface PointName {
  readonly jobName: string;
  readonly vmKey: string;
  readonly pointId: string;
}

export type TaskRequest =
  /** Disks to files below the folder that the daemon was given for restores. */
  | ({ readonly type: 'restoreFiles'; readonly diskIds: readonly string[] } & PointName)
  /** A new VM on the engine of the job. */
  | ({
      readonly type: 'restoreVm';
      readonly newName: string;
      readonly storageDomain: string;
      /** Needed when the engine has several. */
      readonly cluster?: string | undefined;
    } & PointName)
  | ({ readonly type: 'verify' } & PointName)
  /** Serves a disk by NBD until the task is stopped. */
  | ({ readonly type: 'export'; readonly diskId: string } & PointName);

export interface TaskRow {
  readonly taskId: string;
  readonly request: TaskRequest;
  readonly vmName: string;
  readonly state: 'running' | 'done' | 'failed' | 'stopped';
  readonly startedAt: string;
  readonly endedAt?: string | undefined;
  /** Why it has not begun, as a sentence part. */
  readonly waitsFor?: string | undefined;
  /** Of its session, while it runs. */
  readonly sessionId?: string | undefined;
  /** What it made: paths of files, name of a VM, or the address of an export. */
  readonly results: readonly string[];
  readonly failure?:
    | { readonly code: string; readonly message: string; readonly hint: string }
    | undefined;
}

/** An event of the live stream. Each carries the whole state of what changed. */
export type ConsoleEvent =
  | { readonly type: 'session'; readonly session: LiveSession }
  | { readonly type: 'vm'; readonly vm: VmRow }
  | { readonly type: 'job'; readonly job: JobRow }
  | { readonly type: 'task'; readonly task: TaskRow }
  | { readonly type: 'message'; readonly jobName?: string; readonly message: SessionMessage };

/** Everything that the API needs of the daemon. Methods throw a {@link BackupError}. */
export interface ConsoleSources {
  vms(): Promise<readonly VmRow[]>;
  jobs(): Promise<readonly JobRow[]>;
  /** @throws `USAGE_NOT_FOUND` for a job or VM that there is not */
  chain(jobName: string, vmKey: string): Promise<Chain>;
  /** Undefined when no report of the session is kept. */
  blockMap(point: PointName): Promise<readonly DiskMap[] | undefined>;
  /** Newest first. */
  runs(jobName: string | undefined, most: number): Promise<readonly RunRow[]>;
  /** A page of HTML; undefined when there is no such run. */
  runPage(runId: string): Promise<string | undefined>;
  repositories(): Promise<readonly RepositoryRow[]>;
  workers(): Promise<readonly WorkerRow[]>;
  sessions(): readonly LiveSession[];
  tasks(): readonly TaskRow[];
  /** @returns id of the run. @throws `JOB_RUNNING` */
  startRun(jobName: string, only: readonly string[] | undefined): Promise<{ runId: string }>;
  /** Sessions end in order. @throws `USAGE_NOT_FOUND` */
  stopRun(runId: string): Promise<void>;
  startTask(request: TaskRequest): Promise<TaskRow>;
  /** @throws `USAGE_NOT_FOUND` */
  stopTask(taskId: string): Promise<void>;
  /** @returns a function that ends the subscription. */
  subscribe(onEvent: (event: ConsoleEvent) => void): () => void;
}
