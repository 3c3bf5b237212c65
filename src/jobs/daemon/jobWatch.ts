/** One job that the daemon watches: what is due, and its run. */
import { randomUUID } from 'node:crypto';
import {
  type BackupError,
  CancelledError,
  RepositoryError,
  throwIfCancelled,
  toFailure,
} from '../../core/errors.ts';
import { type MessageCode, sessionMessage } from '../../core/messages.ts';
import { formatDuration } from '../../core/units.ts';
import type { JobConfig } from '../jobFile.ts';
import type { JobState, OpenRun } from '../jobState.ts';
import type { RunReport } from '../runReport.ts';
import { brokenRun } from '../run/brokenRun.ts';
import { isStoppedByHand, stopByHand } from '../stopByHand.ts';
import { nextSlot } from '../schedule/schedule.ts';
import { addMissedSlots, newState, openRunOf, stopOpenRun } from '../state/applyRun.ts';
import { dueSlots, watchedFromMs, watchedState, whyNotContinued } from './due.ts';
import type { DaemonParts, JobPlace, RunRequest } from './parts.ts';

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

type Start = Pick<RunRequest, 'openRun' | 'trigger' | 'only'>;

/** The run that goes on. */
interface CurrentRun {
  readonly runId: string;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
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
  #run: CurrentRun | undefined;
  /** Looks and starts wait for each other: two of them must not both find the job idle. */
  #turn: Promise<void> = Promise.resolve();
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

  /** Id of the run that goes on. */
  get runId(): string | undefined {
    return this.#run?.runId;
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
    await this.#inTurn(async () => await this.#adopt());
  }

  /**
   * Starts what is due.
   *
   * @param cause - why slots may have been missed.
   */
  async tick(cause: string): Promise<void> {
    await this.#inTurn(async () => await this.#tick(cause));
  }

  /**
   * Starts a run now, which is for no slot.
   *
   * @param only - names, ids or patterns of VMs; undefined for all of the job.
   * @returns id of the run.
   * @throws {@link RepositoryError} `JOB_RUNNING`; {@link CancelledError} when the daemon stops
   */
  async startNow(only: readonly string[] | undefined): Promise<string> {
    return await this.#inTurn(async () => {
      if (this.#run || (await this.#isRunElsewhere())) throw this.#busyError();
      throwIfCancelled(this.#options.signal);
      const startedAt = new Date(this.#nowMs()).toISOString();
      const openRun = { runId: randomUUID(), startedAt, doneVms: [] };
      this.#execute({ openRun, trigger: 'console', only });
      return openRun.runId;
    });
  }

  /** Stops the run of this id: its sessions end in order. @returns false for another id. */
  stop(runId: string): boolean {
    if (this.#run?.runId !== runId) return false;
    this.#run.stop.abort(stopByHand());
    // Its sessions take time to end, and the daemon may be killed meanwhile.
    this.#do(async () => void (await this.#change((state) => stopOpenRun(state, runId))));
    return true;
  }

  /** Waits for the run and for what is told. Never throws. */
  async settle(): Promise<void> {
    while (this.#run || this.#tasks.size > 0) {
      await Promise.all([this.#run?.ended, ...this.#tasks]);
    }
  }

  async #adopt(): Promise<void> {
    const { openRun } = await this.#read();
    // A run without a slot was started by a command.
    if (!openRun?.slot || this.#job.schedule === undefined) return;
    if (await this.#isRunElsewhere()) return;
    const { jobName, runId } = { jobName: this.name, runId: openRun.runId };
    const facts = { job: jobName, run: runId, slot: openRun.slot, count: openRun.doneVms.length };
    const cause = whyNotContinued(this.#job, openRun, this.#nowMs());
    if (cause === undefined) {
      this.#tell('JOB-633', facts);
      this.#execute({ openRun, trigger: 'schedule' });
      return;
    }
    this.#tell('JOB-634', { ...facts, cause });
    const failure = new CancelledError('CANCELLED', `the run was stopped; ${cause}`, {
      hint: 'find out why the daemon stopped; the next run backs up all VMs',
    });
    this.#do(async () => await this.#conclude(openRun, failure));
  }

  async #tick(cause: string): Promise<void> {
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

  #busyError(): RepositoryError {
    return new RepositoryError('JOB_RUNNING', `job ${this.name} is running`);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return await result;
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
    this.#execute({ openRun, trigger: 'schedule' });
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

  #execute(start: Start): void {
    const { parts, signal: daemonSignal, onEnd } = this.#options;
    // SIGTERM came while the daemon looked at its jobs. The run stays open for its next start.
    if (daemonSignal.aborted) return;
    const { openRun } = start;
    const { runId } = openRun;
    // What a run adds to its signal must not stay at that of the daemon.
    const own = new AbortController();
    const stop = (): void => own.abort(daemonSignal.reason);
    daemonSignal.addEventListener('abort', stop);
    const missedSlots = this.#takeMissed(start);
    const { signal } = own;
    const request = { ...this.#place, ...start, job: this.#job, missedSlots, signal };
    this.#noteStart(start);
    const ended = this.#conduct(request)
      .catch((error: unknown) => this.#tellFailure(toFailure(error)))
      .finally(() => {
        daemonSignal.removeEventListener('abort', stop);
        this.#run = undefined;
        parts.onRun?.({ type: 'ended', jobName: this.name, runId });
        onEnd();
      });
    this.#run = { runId, stop: own, ended };
    parts.onRun?.({ type: 'started', jobName: this.name, runId });
  }

  /** A run of some VMs says nothing about the whole job, so the next run names these slots. */
  #takeMissed({ only }: Start): readonly Date[] {
    this.#busyToldMs = -Infinity;
    if (only) return [];
    const missed = this.#missed;
    this.#missed = [];
    return missed;
  }

  #noteStart({ openRun, trigger }: Start): void {
    const { runId, slot } = openRun;
    const what = trigger === 'console' ? 'for a user of the console' : `of ${slot}`;
    const facts = { job: this.name, runId, slot, trigger };
    this.#options.parts.onNote(`job ${this.name}: run ${runId} ${what} starts`, 'info', facts);
  }

  async #conduct(request: RunRequest): Promise<void> {
    const { parts } = this.#options;
    const { openRun, signal } = request;
    try {
      const report = await parts.run(request);
      if (signal.aborted && !isStoppedByHand(signal)) return;
      const { outcome } = report;
      const { runId, slot } = openRun;
      const facts = { job: this.name, runId, slot, outcome };
      parts.onNote(endText(report), LEVELS[outcome], facts);
    } catch (error) {
      await this.#onFailedRun(request, toFailure(error, signal));
    }
  }

  /** A run that the stop of the daemon ended stays open, and continues when it starts again. */
  async #onFailedRun(request: RunRequest, error: BackupError): Promise<void> {
    const { openRun, trigger, signal } = request;
    if (signal.aborted && !isStoppedByHand(signal)) return;
    this.#tellFailure(error);
    // Other runs keep and tell themselves what they could not begin.
    if (trigger === 'schedule') await this.#conclude(openRun, error);
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
    this.#options.parts.onMessage(sessionMessage(code, fields), this.name);
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
