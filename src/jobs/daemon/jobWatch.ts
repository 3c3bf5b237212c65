/** One job that the daemon watches: what is due, and its run. */
import { randomUUID } from 'node:crypto';
import { type BackupError, CancelledError, toFailure } from '../../core/errors.ts';
import { type MessageCode, sessionMessage } from '../../core/messages.ts';
import { formatDuration } from '../../core/units.ts';
import type { JobConfig } from '../jobFile.ts';
import type { JobState, OpenRun } from '../jobState.ts';
import type { RunReport } from '../runReport.ts';
import { brokenRun } from '../run/brokenRun.ts';
import { nextSlot } from '../schedule/schedule.ts';
import { addMissedSlots, newState, openRunOf } from '../state/applyRun.ts';
import { dueSlots, watchedFromMs, watchedState, whyNotContinued } from './due.ts';
import type { DaemonParts, JobPlace } from './parts.ts';

const BUSY_TEXT = 'the run before was still running';
/** While one run lasts, its receivers are told of missed slots once in this time. */
const BUSY_REPEAT_MS = 12 * 3_600_000;
/** Missed slots that the report of the next run names. */
const MAX_MISSED = 1000;

/** Level of the line that tells the end of a run. */
const LEVELS = { success: 'info', warning: 'warn', failure: 'error' } as const;

/** As `job nightly: failure after 3 min, VMs with success: 3, VMs with failure: 1`. */
function endText({ jobName, outcome, durationSeconds, vms }: RunReport): string {
  const outcomes = vms.map((vm) => vm.outcome);
  const counts = [...new Set(outcomes)].map(
    (one) => `VMs with ${one}: ${outcomes.filter((other) => other === one).length}`,
  );
  const took = formatDuration(durationSeconds * 1000);
  return [`job ${jobName}: ${outcome} after ${took}`, ...counts].join(', ');
}

export interface WatchOptions {
  readonly parts: DaemonParts;
  /** Aborted when the daemon stops. */
  readonly signal: AbortSignal;
  /** Called when a run has ended, so that the daemon looks at its jobs again. */
  readonly onEnd: () => void;
}

export class JobWatch {
  readonly #options: WatchOptions;
  #place: JobPlace;
  #job: JobConfig;
  /** Kept here too, so that a slot starts once also when the state cannot be written. */
  #fromMs = Infinity;
  #nextMs: number | undefined;
  /** Slots since the last run, for its report. */
  #missed: readonly Date[] = [];
  /** When receivers were told that a run lasts too long. */
  #busyToldMs = -Infinity;
  #run: Promise<void> | undefined;
  readonly #tasks = new Set<Promise<void>>();

  constructor(job: JobConfig, place: JobPlace, options: WatchOptions) {
    this.#job = job;
    this.#place = place;
    this.#options = options;
  }

  get name(): string {
    return this.#job.name;
  }

  get isRunning(): boolean {
    return this.#run !== undefined;
  }

  /** Time of the next slot, in milliseconds since 1970. */
  get nextMs(): number | undefined {
    return this.#nextMs;
  }

  /** Begins to watch, or goes on with a job whose configuration changed. A run keeps its own. */
  async watch(job: JobConfig, place: JobPlace): Promise<void> {
    this.#job = job;
    this.#place = place;
    const nowMs = this.#nowMs();
    const state = await this.#change((before) => watchedState(before, job, nowMs));
    this.#setFrom(watchedFromMs(state, nowMs));
  }

  /** After the clock was put back: see {@link watchedState}. */
  async watchAgain(): Promise<void> {
    await this.watch(this.#job, this.#place);
  }

  /** Continues a run that an earlier daemon left, or tells that it is not continued. */
  async adopt(): Promise<void> {
    const { openRun } = await this.#read();
    // A run without a slot was started by a command.
    if (!openRun?.slot || this.#job.schedule === undefined) return;
    if (await this.#isRunElsewhere()) return;
    const { jobName, runId } = { jobName: this.name, runId: openRun.runId };
    const facts = { job: jobName, run: runId, slot: openRun.slot, count: openRun.doneVms.length };
    const cause = whyNotContinued(this.#job, openRun, this.#nowMs());
    if (cause === undefined) {
      this.#tell('JOB-633', facts);
      this.#execute(openRun);
      return;
    }
    this.#tell('JOB-634', { ...facts, cause });
    const failure = new CancelledError('CANCELLED', `the run was stopped; ${cause}`, {
      hint: 'find out why the daemon stopped; the next run backs up all VMs',
    });
    this.#do(async () => await this.#conclude(openRun, failure));
  }

  /**
   * Starts what is due.
   *
   * @param cause - why slots may have been missed.
   */
  async tick(cause: string): Promise<void> {
    const nowMs = this.#nowMs();
    if (this.#nextMs === undefined || nowMs < this.#nextMs) return;
    const isElsewhere = !this.isRunning && (await this.#isRunElsewhere());
    const isBusy = this.isRunning || isElsewhere;
    const due = dueSlots(this.#job, this.#fromMs, nowMs, isBusy);
    const newest = due.start ?? due.missed.at(-1);
    if (newest) this.#setFrom(newest.getTime());
    const reason = isBusy ? BUSY_TEXT : cause;
    const isRepeated = isBusy && nowMs - this.#busyToldMs < BUSY_REPEAT_MS;
    if (due.missed.length > 0) await this.#tellMissed(due.missed, reason, isRepeated);
    if (isBusy && !isRepeated) this.#busyToldMs = nowMs;
    if (due.start) await this.#start(due.start, due.isLate ? reason : undefined);
  }

  /** Waits for the run and for what is told. Never throws. */
  async settle(): Promise<void> {
    while (this.#run || this.#tasks.size > 0) await Promise.all([this.#run, ...this.#tasks]);
  }

  #nowMs(): number {
    return this.#options.parts.clock.now().getTime();
  }

  #setFrom(ms: number): void {
    this.#fromMs = ms;
    this.#nextMs = nextSlot(this.#job, ms)?.getTime();
  }

  async #start(slot: Date, lateCause: string | undefined): Promise<void> {
    const now = new Date(this.#nowMs());
    const openRun: OpenRun = {
      runId: randomUUID(),
      startedAt: now.toISOString(),
      slot: slot.toISOString(),
      doneVms: [],
    };
    if (lateCause !== undefined) {
      const late = formatDuration(now.getTime() - slot.getTime());
      this.#tell('JOB-632', { job: this.name, late, slot: slot.toISOString(), cause: lateCause });
    }
    await this.#change((state) => openRunOf(state, openRun));
    this.#execute(openRun);
  }

  async #tellMissed(slots: readonly Date[], cause: string, isRepeated: boolean): Promise<void> {
    this.#missed = [...this.#missed, ...slots].slice(-MAX_MISSED);
    await this.#change((state) => addMissedSlots(state, slots));
    const slot = slots.at(-1)?.toISOString() ?? '';
    const next = this.#nextMs === undefined ? 'never' : new Date(this.#nextMs).toISOString();
    this.#tell('JOB-631', { job: this.name, count: slots.length, slot, cause, next });
    const request = { ...this.#place, job: this.#job };
    this.#do(async () => await this.#options.parts.tellMissed(request, slots, isRepeated));
  }

  #execute(openRun: OpenRun): void {
    // SIGTERM came while the daemon looked at its jobs. The run stays open for its next start.
    if (this.#options.signal.aborted) return;
    const missedSlots = this.#missed;
    this.#missed = [];
    this.#busyToldMs = -Infinity;
    const { parts, signal: daemonSignal, onEnd } = this.#options;
    // What a run adds to its signal must not stay at that of the daemon.
    const own = new AbortController();
    const { signal } = own;
    const stop = (): void => own.abort(daemonSignal.reason);
    daemonSignal.addEventListener('abort', stop);
    const request = { ...this.#place, job: this.#job, openRun, missedSlots, signal };
    const facts = { job: this.name, runId: openRun.runId, slot: openRun.slot };
    parts.onNote(`job ${this.name}: run ${openRun.runId} of ${openRun.slot} starts`, 'info', facts);
    const run = async (): Promise<void> => {
      try {
        const report = await parts.run(request);
        if (signal.aborted) return;
        const { outcome } = report;
        parts.onNote(endText(report), LEVELS[outcome], { ...facts, outcome });
      } catch (error) {
        await this.#onFailedRun(openRun, toFailure(error, signal));
      }
    };
    this.#run = run()
      .catch((error: unknown) => this.#tellFailure(toFailure(error)))
      .finally(() => {
        daemonSignal.removeEventListener('abort', stop);
        this.#run = undefined;
        onEnd();
      });
  }

  /** A run that the stop of the daemon ended stays open, and continues when it starts again. */
  async #onFailedRun(openRun: OpenRun, error: BackupError): Promise<void> {
    if (this.#options.signal.aborted) return;
    this.#tellFailure(error);
    await this.#conclude(openRun, error);
  }

  async #conclude(openRun: OpenRun, error: BackupError): Promise<void> {
    const request = { ...this.#place, job: this.#job };
    const state = await this.#read();
    const report = brokenRun(this.#job, state, openRun, error, this.#nowMs(), 'schedule');
    await this.#options.parts.conclude(request, report);
  }

  /** Work beside the loop, so that a slow receiver delays no start. */
  #do(work: () => Promise<void>): void {
    const task = work()
      .catch((error: unknown) => this.#tellFailure(toFailure(error)))
      .finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  #tell(code: MessageCode, fields: Readonly<Record<string, string | number>>): void {
    this.#options.parts.onMessage(sessionMessage(code, fields));
  }

  #tellFailure({ message: reason, code, hint }: BackupError): void {
    this.#tell('JOB-638', { job: this.name, reason, code, hint });
  }

  async #isRunElsewhere(): Promise<boolean> {
    try {
      await using _ = await this.#place.states.lockJob(this.name);
      return false;
    } catch (error) {
      return toFailure(error).code === 'JOB_RUNNING';
    }
  }

  /** A state that cannot be read or written stops no backup. */
  async #read(): Promise<JobState> {
    try {
      return await this.#place.states.read(this.name);
    } catch (error) {
      this.#tell('JOB-637', { job: this.name, reason: toFailure(error).message });
      return newState(this.name);
    }
  }

  async #change(change: (state: JobState) => JobState): Promise<JobState> {
    try {
      return await this.#place.states.update(this.name, change);
    } catch (error) {
      this.#tell('JOB-637', { job: this.name, reason: toFailure(error).message });
      return change(newState(this.name));
    }
  }
}
