/**
 * Starts jobs at the times of their schedules. Each slot is started once, or told as missed: the
 * state of the job is written before its run begins.
 */
import { toFailure, UsageError } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import { formatDuration } from '../../core/units.ts';
import type { JobState } from '../jobState.ts';
import { requireJob } from '../requireJob.ts';
import { JobWatch } from './jobWatch.ts';
import type { HeldRight } from '../state/stateFolder.ts';
import type { DaemonParts, JobPlace } from './parts.ts';

/** The clock may be set and the machine may sleep, so the daemon looks at least so often. */
const LONGEST_SLEEP_MS = 60_000;
/** A look that comes later than that after its time was delayed by a sleep or a new time. */
const JUMP_MS = 2 * 60_000;
/** A daemon that has not looked for so long hangs. */
const HANG_MS = 5 * 60_000;

const DOWN_TEXT = 'the daemon was not running';
const JUMP_TEXT = 'the machine slept, or its clock was put forward';
const LATE_TEXT = 'the daemon was delayed';

/** What `/healthz` tells. */
export interface DaemonHealth {
  readonly isAlive: boolean;
  readonly jobs: readonly {
    readonly name: string;
    readonly isRunning: boolean;
    /** Of the run that goes on. */
    readonly runId?: string | undefined;
    /** ISO 8601; absent for a job without a schedule. */
    readonly next?: string | undefined;
  }[];
}

export class Daemon {
  readonly #parts: DaemonParts;
  #place: JobPlace | undefined;
  #watches = new Map<string, JobWatch>();
  /** Jobs that the file does not name any more. Their runs end. */
  readonly #leaving = new Set<JobWatch>();
  #wake = new AbortController();
  #mustLoad = false;
  #lookedAtMs = 0;
  #aliveAtMs = performance.now();

  constructor(parts: DaemonParts) {
    this.#parts = parts;
  }

  get health(): DaemonHealth {
    const isAlive = performance.now() - this.#aliveAtMs < HANG_MS;
    const jobs = [...this.#watches.values()].map(({ name, isRunning, runId, nextMs }) => ({
      name,
      isRunning,
      ...(runId === undefined ? {} : { runId }),
      ...(nextMs === undefined ? {} : { next: new Date(nextMs).toISOString() }),
    }));
    return { isAlive, jobs };
  }

  /** The job file as it was loaded last, and the states of its jobs. */
  get place(): JobPlace | undefined {
    return this.#place;
  }

  /** States of all jobs of the file. */
  async states(): Promise<JobState[]> {
    return (await this.#place?.states.readAll()) ?? [];
  }

  /**
   * Starts a run of a job now, beside its schedule. A time of the schedule that comes meanwhile is
   * missed, as with any run.
   *
   * @param only - names, ids or patterns of VMs of the job; undefined for all.
   * @returns id of the run.
   * @throws {@link UsageError} `USAGE_NOT_FOUND`, `USAGE_WRONG_STATE` before the first load;
   *   {@link RepositoryError} `JOB_RUNNING`
   */
  async startNow(jobName: string, only?: readonly string[]): Promise<string> {
    if (this.#place) requireJob(this.#place.file, jobName);
    const watch = this.#watches.get(jobName);
    if (watch) return await watch.startNow(only);
    throw new UsageError('USAGE_WRONG_STATE', 'the daemon has not yet read its job file', {
      hint: 'try again in a few seconds',
    });
  }

  /**
   * Stops a run. Its sessions end in order, and it is not continued. It may last a while.
   *
   * @throws {@link UsageError} `USAGE_NOT_FOUND` when no such run goes on
   */
  stopRun(runId: string): void {
    const watches = [...this.#watches.values(), ...this.#leaving];
    if (watches.some((watch) => watch.stop(runId))) return;
    throw new UsageError('USAGE_NOT_FOUND', `no run "${runId}" goes on`, {
      hint: 'it has ended, or another process runs it',
    });
  }

  /** Loads the job file again, soon. A file with errors changes nothing and is told. */
  reload(): void {
    this.#mustLoad = true;
    this.#wake.abort();
  }

  /**
   * Works until `signal` is aborted. Then runs end in order; they continue at the next start.
   *
   * @param onReady - called when the job file was read and all jobs are watched.
   * @throws {@link BackupError} `USAGE_JOB_FILE`, `OUTPUT_IO`; `DAEMON_RUNNING`, also later, when
   *   this process was paused and another daemon took its place
   */
  async run(signal: AbortSignal, onReady: () => void): Promise<void> {
    const file = await this.#parts.load();
    const states = await this.#parts.openStates(file);
    await using right = await states.lockDaemon();
    const stop = (): void => this.#wake.abort();
    signal.addEventListener('abort', stop);
    try {
      this.#lookedAtMs = this.#nowMs();
      await this.#watchAll({ file, states }, signal);
      onReady();
      await this.#look(DOWN_TEXT);
      right.lost.addEventListener('abort', stop);
      while (!signal.aborted) await this.#step(signal, right);
    } finally {
      signal.removeEventListener('abort', stop);
      right.lost.removeEventListener('abort', stop);
      const watches = [...this.#watches.values(), ...this.#leaving];
      await Promise.all(watches.map(async (watch) => await watch.settle()));
    }
  }

  async #step(signal: AbortSignal, right: HeldRight): Promise<void> {
    await this.#sleep();
    if (signal.aborted) return;
    await right.assertHeld();
    if (this.#mustLoad) await this.#loadAgain(signal);
    await this.#look(await this.#causeOfDelay());
  }

  async #look(cause: string): Promise<void> {
    this.#aliveAtMs = performance.now();
    this.#lookedAtMs = this.#nowMs();
    for (const watch of this.#watches.values()) await watch.tick(cause);
  }

  #nowMs(): number {
    return this.#parts.clock.now().getTime();
  }

  async #sleep(): Promise<void> {
    const times = [...this.#watches.values()].flatMap(({ nextMs }) => nextMs ?? []);
    const untilNextMs = Math.min(...times) - this.#nowMs();
    const durationMs = Math.max(0, Math.min(LONGEST_SLEEP_MS, untilNextMs));
    try {
      await this.#parts.clock.sleep(durationMs, this.#wake.signal);
    } catch (error) {
      if (!this.#wake.signal.aborted) throw error;
    }
    this.#wake = new AbortController();
  }

  /** Tells a clock that was put back. @returns why a slot may be late. */
  async #causeOfDelay(): Promise<string> {
    const passedMs = this.#nowMs() - this.#lookedAtMs;
    if (passedMs < -JUMP_MS) {
      const span = formatDuration(-passedMs);
      this.#parts.onMessage(sessionMessage('JOB-639', { span }));
      for (const watch of this.#watches.values()) await watch.watchAgain();
    }
    return passedMs > LONGEST_SLEEP_MS + JUMP_MS ? JUMP_TEXT : LATE_TEXT;
  }

  async #loadAgain(signal: AbortSignal): Promise<void> {
    this.#mustLoad = false;
    try {
      const file = await this.#parts.load();
      await this.#watchAll({ file, states: await this.#parts.openStates(file) }, signal);
      this.#parts.onMessage(sessionMessage('JOB-636', { count: file.jobs.size }));
    } catch (error) {
      const reason = toFailure(error).message;
      this.#parts.onMessage(sessionMessage('JOB-635', { reason }));
    }
  }

  /**
   * Watches the jobs of a file. Those that it does not name are watched no more. Meanwhile the jobs
   * that are known stay known, so that users can stop their runs.
   */
  async #watchAll(place: JobPlace, signal: AbortSignal): Promise<void> {
    const before = this.#watches;
    const options = { parts: this.#parts, signal, onEnd: () => this.#wake.abort() };
    const watches = new Map<string, JobWatch>();
    this.#place = place;
    for (const job of place.file.jobs.values()) {
      const known = before.get(job.name);
      const watch = known ?? new JobWatch(job, place, options);
      await watch.watch(job, place);
      if (!known) await watch.adopt();
      watches.set(job.name, watch);
    }
    for (const watch of before.values()) {
      if (!watches.has(watch.name)) this.#leaving.add(watch);
    }
    this.#watches = watches;
  }
}
