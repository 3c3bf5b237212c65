/**
 * Jobs and their VMs, from the states that the daemon keeps. A state is written when a run ends, so
 * the results of a run that goes on are laid over it.
 */
import { UsageError } from '../../core/errors.ts';
import type { Daemon } from '../../jobs/daemon/daemon.ts';
import type { RunEvent } from '../../jobs/daemon/parts.ts';
import type { JobConfig } from '../../jobs/jobFile.ts';
import type { JobState, VmState } from '../../jobs/jobState.ts';
import { requireJob } from '../../jobs/requireJob.ts';
import type { VmResult } from '../../jobs/runReport.ts';
import { newState, vmAfter } from '../../jobs/state/applyRun.ts';
import type { JobRow, VmRow } from '../contract.ts';
import type { ConsoleEvents } from './events.ts';
import { healthOf, lateBefore } from './vmHealth.ts';

/** Runs of other processes change a state too, and tell nobody. */
const STATES_VALID_MS = 10_000;
/** Whether a VM is late changes with the minutes. */
const LATE_VALID_MS = 30_000;

export interface BoardOptions {
  /** Asked for each use: the daemon is made after its watchers. */
  readonly daemon: () => Pick<Daemon, 'health' | 'place'>;
  readonly events: ConsoleEvents;
  readonly nowMs: () => number;
  readonly sessionOf: (jobName: string, vmKey: string) => string | undefined;
}

/** VMs of a job, by their keys. */
type Vms = ReadonlyMap<string, VmState>;

interface KnownJob {
  readonly state: JobState;
  readonly vms: Vms;
}

type Jobs = ReadonlyMap<string, KnownJob>;

/** What {@link lateBefore} gave. */
interface Late {
  readonly job: JobConfig;
  readonly untilMs: number;
  readonly beforeMs: number | undefined;
}

function keyOf({ vmId, vmName }: Pick<VmState, 'vmId' | 'vmName'>): string {
  return vmId || vmName;
}

function knownJob(state: JobState): KnownJob {
  return { state, vms: new Map(state.vms.map((vm) => [keyOf(vm), vm])) };
}

/** A VM whose id has become known in this run has its old row under its name. */
function overlaid(vms: Vms, results: Vms): Vms {
  const all = new Map(vms);
  for (const [key, vm] of results) {
    if (key !== vm.vmName) all.delete(vm.vmName);
    all.set(key, vm);
  }
  return all;
}

export class JobBoard {
  readonly #options: BoardOptions;
  #known: Promise<Jobs> | undefined;
  /** The same, when it has been read. */
  #lastKnown: Jobs | undefined;
  #readAtMs = -Infinity;
  /** Results of runs that go on, by job. */
  readonly #results = new Map<string, Map<string, VmState>>();
  readonly #late = new Map<string, Late>();

  constructor(options: BoardOptions) {
    this.#options = options;
  }

  async vms(): Promise<VmRow[]> {
    const jobs = await this.#load();
    return this.#configs().flatMap((job) => this.#rows(job, jobs.get(job.name)));
  }

  async jobs(): Promise<JobRow[]> {
    const jobs = await this.#load();
    return this.#configs().map((job) => this.#jobRow(job, jobs.get(job.name)));
  }

  /** @throws {@link UsageError} `USAGE_NOT_FOUND` */
  async job(jobName: string): Promise<JobRow> {
    const jobs = await this.#load();
    return this.#jobRow(this.requireJob(jobName), jobs.get(jobName));
  }

  /** @throws {@link UsageError} `USAGE_NOT_FOUND` */
  requireJob(jobName: string): JobConfig {
    const { place } = this.#options.daemon();
    if (place) return requireJob(place.file, jobName);
    throw new UsageError('USAGE_NOT_FOUND', 'the daemon has not yet read its job file', {
      hint: 'try again in a few seconds',
    });
  }

  /**
   * A VM of a job.
   *
   * @throws {@link UsageError} `USAGE_NOT_FOUND`
   */
  async requireVm(jobName: string, vmKey: string): Promise<{ job: JobConfig; vm: VmState }> {
    const job = this.requireJob(jobName);
    const jobs = await this.#load();
    const vm = this.#vmsOf(jobName, jobs.get(jobName)).get(vmKey);
    if (vm) return { job, vm };
    throw new UsageError('USAGE_NOT_FOUND', `job ${jobName} has no VM "${vmKey}"`, {
      hint: 'a VM is known after the first run that selects it',
    });
  }

  /** The session of a VM begins or ends. */
  onVm(jobName: string, vmKey: string): void {
    const { events, daemon } = this.#options;
    if (!events.isWatched) return;
    const known = this.#lastKnown?.get(jobName);
    const vm = this.#vmsOf(jobName, known).get(vmKey);
    const job = daemon().place?.file.jobs.get(jobName);
    if (vm && job) events.publish({ type: 'vm', vm: this.#vmRow(job, known, vm) });
  }

  onResult(jobName: string, result: VmResult): void {
    const results = this.#results.get(jobName) ?? new Map<string, VmState>();
    this.#results.set(jobName, results);
    const key = result.vmId || result.vmName;
    const vms = this.#vmsOf(jobName, this.#lastKnown?.get(jobName));
    const previous = vms.get(key) ?? vms.get(result.vmName);
    results.set(key, vmAfter(previous, result, undefined));
    this.onVm(jobName, key);
  }

  /** When a run has ended, its state is written. */
  async onRun({ type, jobName }: RunEvent): Promise<void> {
    if (type === 'started') this.#results.set(jobName, new Map());
    const results = this.#results.get(jobName);
    await this.onState(jobName);
    const isSame = this.#results.get(jobName) === results;
    if (type === 'ended' && isSame) this.#results.delete(jobName);
  }

  /** The state of a job has changed: reads it, and tells what is new. */
  async onState(jobName: string): Promise<void> {
    const before = new Map(this.#told(jobName));
    this.#known = undefined;
    await this.#load();
    for (const [key, text] of this.#told(jobName)) {
      if (before.get(key) !== text) this.onVm(jobName, key);
    }
    const { events, daemon } = this.#options;
    const isKnown = daemon().place?.file.jobs.has(jobName) ?? false;
    if (events.isWatched && isKnown) {
      events.publish({ type: 'job', job: await this.job(jobName) });
    }
  }

  /** Rows of a job as text, to compare them. */
  #told(jobName: string): readonly (readonly [string, string])[] {
    const job = this.#options.daemon().place?.file.jobs.get(jobName);
    if (!job || !this.#options.events.isWatched) return [];
    const rows = this.#rows(job, this.#lastKnown?.get(jobName));
    return rows.map((row) => [row.vmKey, JSON.stringify(row)]);
  }

  #configs(): readonly JobConfig[] {
    return [...(this.#options.daemon().place?.file.jobs.values() ?? [])];
  }

  async #load(): Promise<Jobs> {
    const nowMs = this.#options.nowMs();
    if (this.#known && nowMs - this.#readAtMs <= STATES_VALID_MS) return await this.#known;
    this.#readAtMs = nowMs;
    const reading = this.#read();
    this.#known = reading;
    try {
      this.#lastKnown = await reading;
    } catch (error) {
      if (this.#known === reading) this.#known = undefined;
      throw error;
    }
    return this.#lastKnown;
  }

  async #read(): Promise<Jobs> {
    const states = (await this.#options.daemon().place?.states.readAll()) ?? [];
    return new Map(states.map((state) => [state.jobName, knownJob(state)]));
  }

  #vmsOf(jobName: string, known: KnownJob | undefined): Vms {
    const vms: Vms = known?.vms ?? new Map();
    const results = this.#results.get(jobName);
    return results ? overlaid(vms, results) : vms;
  }

  #rows(job: JobConfig, known: KnownJob | undefined): VmRow[] {
    const vms = this.#vmsOf(job.name, known);
    return [...vms.values()].map((vm) => this.#vmRow(job, known, vm));
  }

  #vmRow(job: JobConfig, known: KnownJob | undefined, vm: VmState): VmRow {
    const vmKey = keyOf(vm);
    const { isDamaged: _, vmId: __, ...facts } = vm;
    return {
      ...facts,
      jobName: job.name,
      vmKey,
      health: healthOf(vm, this.#lateBefore(job, known?.state)),
      sessionId: this.#options.sessionOf(job.name, vmKey),
    };
  }

  #lateBefore(job: JobConfig, state: JobState | undefined): number | undefined {
    const nowMs = this.#options.nowMs();
    const late = this.#late.get(job.name);
    if (late?.job === job && nowMs < late.untilMs) return late.beforeMs;
    const since = state?.watched?.since;
    const sinceMs = since === undefined ? nowMs : Date.parse(since);
    const beforeMs = lateBefore(job, sinceMs, nowMs);
    this.#late.set(job.name, { job, untilMs: nowMs + LATE_VALID_MS, beforeMs });
    return beforeMs;
  }

  #jobRow(job: JobConfig, known: KnownJob | undefined): JobRow {
    const { name, engine, repository, schedule } = job;
    const health = this.#options.daemon().health.jobs.find((one) => one.name === name);
    const { lastRun } = known?.state ?? newState(name);
    return {
      name,
      engineName: engine.name,
      repositoryName: repository.name,
      schedule,
      next: health?.next,
      runId: health?.runId,
      lastRun: lastRun && {
        startedAt: lastRun.startedAt,
        endedAt: lastRun.endedAt,
        outcome: lastRun.outcome,
      },
      vmCount: this.#vmsOf(name, known).size,
    };
  }
}
