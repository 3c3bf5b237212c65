/**
 * A world for the daemon: a clock that jumps to the next event, states in memory, and runs that
 * take time and back up nothing. A fortnight takes a second.
 */
import { setImmediate as settled } from 'node:timers/promises';
import { CancelledError, RepositoryError } from '../../../src/core/errors.ts';
import type { SessionMessage } from '../../../src/core/messages.ts';
import type { Clock } from '../../../src/jobs/clock.ts';
import { Daemon } from '../../../src/jobs/daemon/daemon.ts';
import type { HeldRight } from '../../../src/jobs/state/stateFolder.ts';
import type { DaemonParts, JobStates, RunRequest } from '../../../src/jobs/daemon/parts.ts';
import type { JobConfig, JobFile } from '../../../src/jobs/jobFile.ts';
import type { JobState } from '../../../src/jobs/jobState.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import { isStoppedByHand } from '../../../src/jobs/stopByHand.ts';
import { windowEnd } from '../../../src/jobs/schedule/schedule.ts';
import { addDoneVm, applyRun, newState } from '../../../src/jobs/state/applyRun.ts';

export interface WorldJob {
  readonly name: string;
  readonly schedule?: string;
  readonly timezone?: string;
  readonly windowUntil?: string;
}

export function jobFileOf(jobs: readonly WorldJob[]): JobFile {
  const configs = jobs.map((job) => [job.name, { repository: { place: '/backup' }, ...job }]);
  return { jobs: new Map(configs as [string, JobConfig][]) } as unknown as JobFile;
}

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

/** A session of a VM: it began in a run of a slot, and ended unless its process was killed. */
export interface FakeSession {
  readonly job: string;
  /** Empty in a run that a user has started. */
  readonly slot: string;
  readonly runId: string;
  readonly vm: string;
  readonly atMs: number;
}

export class DaemonWorld implements Clock {
  readonly messages: SessionMessage[] = [];
  readonly sessions: FakeSession[] = [];
  readonly reports: RunReport[] = [];
  /** `started ID` and `ended ID`, in their order. */
  readonly runs: string[] = [];
  /** Slots that were missed, `job slot`, and those of them that receivers were told of. */
  readonly missed: string[] = [];
  readonly told: string[] = [];
  /** VMs of each job, backed up one after another. */
  vms: readonly string[] = ['a', 'b'];
  vmDurationMs = 60_000;
  file: JobFile;
  /** Thrown by the next read of the job file. */
  loadError: Error | undefined;
  /** Thrown by each change of a state. */
  stateError: Error | undefined;
  /** Changes of states wait for it, as on a file server that is slow. */
  slowness: Promise<unknown> = Promise.resolve();
  /** Thrown by the next run. */
  runError: Error | undefined;
  /** Runs that were stopped by hand do not come to their end. */
  holdsReports = false;
  daemon: Daemon | undefined;
  #states = new Map<string, JobState>();
  #locks = new Set<string>();
  #sleepers: Sleeper[] = [];
  /** Time that only goes forward, and what the clock shows beside it. */
  #elapsedMs = 0;
  #offsetMs: number;
  #stop = new AbortController();
  #ended: Promise<void> | undefined;

  constructor(jobs: readonly WorldJob[], start: string) {
    this.file = jobFileOf(jobs);
    this.#offsetMs = Date.parse(start);
  }

  now(): Date {
    return new Date(this.#offsetMs + this.#elapsedMs);
  }

  /** Sets the clock. Waiting takes as long as before. */
  jump(deltaMs: number): void {
    this.#offsetMs += deltaMs;
  }

  async sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => reject(signal.reason as Error);
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      const wake = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      this.#sleepers.push({ atMs: this.#elapsedMs + durationMs, wake });
    });
  }

  async start(): Promise<void> {
    this.#stop = new AbortController();
    this.daemon = new Daemon(this.#parts());
    this.#ended = this.daemon.run(this.#stop.signal, () => {});
    this.#ended.catch(() => {});
    await settled();
  }

  /** Stops the daemon in order. */
  async stop(): Promise<void> {
    this.#stop.abort(new CancelledError('CANCELLED', 'stopped by SIGTERM'));
    await this.#ended;
  }

  /** Ends the process: nothing of it goes on, and its locks are free. */
  kill(): void {
    this.#sleepers = [];
    this.#locks = new Set();
  }

  async pass(durationMs: number): Promise<void> {
    const endMs = this.#elapsedMs + durationMs;
    for (;;) {
      // Everything works that waits for no clock.
      await settled();
      const next = Math.min(endMs, ...this.#sleepers.map(({ atMs }) => atMs));
      this.#elapsedMs = Math.max(this.#elapsedMs, next);
      const due = this.#sleepers.filter(({ atMs }) => atMs <= next);
      if (due.length === 0) return;
      this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > next);
      for (const { wake } of due) wake();
    }
  }

  async passUntil(time: string): Promise<void> {
    await this.pass(Date.parse(time) - this.now().getTime());
  }

  state(job: string): JobState {
    return this.#states.get(job) ?? newState(job);
  }

  /** Slots whose runs have begun, `job slot`, in the order of their first session. */
  get startedSlots(): string[] {
    const ofSlots = this.sessions.filter(({ slot }) => slot !== '');
    return [...new Set(ofSlots.map(({ job, slot }) => `${job} ${slot}`))];
  }

  get codes(): string[] {
    return this.messages.map(({ code }) => code);
  }

  /** As a command that runs the job in another process. */
  async lock(job: string): Promise<AsyncDisposable> {
    return await this.#statesOf().lockJob(job);
  }

  #statesOf(): JobStates {
    const read = (job: string): JobState => structuredClone(this.state(job));
    return {
      read: async (job) => await Promise.resolve(read(job)),
      readAll: async () => await Promise.resolve([...this.file.jobs.keys()].map(read)),
      update: async (job, change) => {
        await this.slowness;
        if (this.stateError) throw this.stateError;
        const state = change(read(job));
        this.#states.set(job, state);
        return await Promise.resolve(state);
      },
      lockJob: async (job) => await Promise.resolve(this.#lock(job, 'JOB_RUNNING')),
      lockDaemon: async () => await Promise.resolve(this.#lock('/', 'DAEMON_RUNNING')),
    };
  }

  /** Another daemon takes the place of this one, which was paused. */
  takeDaemonLock(): void {
    this.#locks.delete('/');
  }

  #lock(name: string, code: 'JOB_RUNNING' | 'DAEMON_RUNNING'): HeldRight {
    const locks = this.#locks;
    if (locks.has(name)) throw new RepositoryError(code, `${name} is locked`);
    locks.add(name);
    return {
      lost: new AbortController().signal,
      assertHeld: async () => {
        await Promise.resolve();
        if (!locks.has(name)) throw new RepositoryError(code, `${name} is locked`);
      },
      [Symbol.asyncDispose]: async () => {
        locks.delete(name);
        await Promise.resolve();
      },
    };
  }

  #parts(): DaemonParts {
    return {
      clock: this,
      load: async () => {
        const error = this.loadError;
        this.loadError = undefined;
        if (error) throw error;
        return await Promise.resolve(this.file);
      },
      openStates: async () => await Promise.resolve(this.#statesOf()),
      run: async (request) => await this.#run(request),
      conclude: async ({ states, job }, report) => {
        this.reports.push(report);
        await states.update(job.name, (state) => applyRun(state, report, this.now()));
      },
      tellMissed: async ({ job }, slots, isRepeated) => {
        const missed = slots.map((slot) => `${job.name} ${slot.toISOString()}`);
        this.missed.push(...missed);
        if (!isRepeated) this.told.push(...missed);
        await Promise.resolve();
      },
      onMessage: (message) => this.messages.push(message),
      onRun: ({ type, runId }) => this.runs.push(`${type} ${runId}`),
      onNote: () => {},
    };
  }

  async #run(request: RunRequest): Promise<RunReport> {
    const { job, states, openRun, missedSlots, trigger, only } = request;
    await using _ = await states.lockJob(job.name);
    const error = this.runError;
    this.runError = undefined;
    if (error) throw error;
    const { runId, slot, startedAt } = openRun;
    const leftCount = await this.#sessionsOf(request);
    const report = {
      runId,
      jobName: job.name,
      trigger,
      isPartial: only !== undefined,
      slot,
      startedAt,
      durationSeconds: (this.now().getTime() - Date.parse(startedAt)) / 1000,
      outcome: leftCount > 0 ? 'failure' : 'success',
      vms: [],
      vanishedVms: [],
      missedSlots: missedSlots.map((missed) => missed.toISOString()),
    } as unknown as RunReport;
    this.reports.push(report);
    await states.update(job.name, (state) => applyRun(state, report, this.now()));
    return report;
  }

  /** @returns number of VMs without a session that ended. */
  async #sessionsOf({ job, states, openRun, signal, only }: RunRequest): Promise<number> {
    const { runId, slot = '', doneVms, startedAt } = openRun;
    const endMs = windowEnd(job, Date.parse(slot || startedAt)) ?? Infinity;
    const left = (only ?? this.vms).filter((vm) => !doneVms.includes(vm));
    for (const [k, vm] of left.entries()) {
      const atMs = this.now().getTime();
      if (atMs >= endMs) return left.length - k;
      this.sessions.push({ job: job.name, slot, runId, vm, atMs });
      try {
        await this.sleep(this.vmDurationMs, signal);
      } catch (error) {
        if (this.holdsReports) await new Promise(() => {});
        if (isStoppedByHand(signal)) return left.length - k;
        throw error;
      }
      await states.update(job.name, (state) => addDoneVm(state, runId, vm));
    }
    return 0;
  }
}
