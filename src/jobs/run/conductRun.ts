/**
 * A run with all that belongs to it: the lock, the state of the job, the history in the repository,
 * notifications and metrics. Only the lock can stop a run.
 */
import { randomUUID } from 'node:crypto';
import { BackupError, CancelledError, toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type MessageCode, type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import { Repository } from '../../repository/repository.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import { storeOptionsOf } from '../config/connectionSettings.ts';
import type { JobConfig, JobFile } from '../jobFile.ts';
import type { JobState, OpenRun } from '../jobState.ts';
import { formatMetrics } from '../metrics/formatMetrics.ts';
import { writeMetricsFile } from '../metrics/metricsFile.ts';
import { notifyRun } from '../notify/notify.ts';
import type { RunReport, VmResult } from '../runReport.ts';
import { saveRunReport } from '../runReports.ts';
import { addDoneVm, applyRun, newState, openRunOf } from '../state/applyRun.ts';
import type { StateFolder } from '../state/stateFolder.ts';
import { brokenRun } from './brokenRun.ts';
import { EngineGates } from './engineGates.ts';
import { runJob } from './runJob.ts';
import type { OpenRunner } from './runners.ts';
import { isStoppedByHand } from '../stopByHand.ts';

/** Time for history, notifications and metrics of a run that was stopped. */
const STOPPED_MS = 60_000;

export interface RunOptions {
  readonly file: JobFile;
  readonly job: JobConfig;
  readonly trigger: RunReport['trigger'];
  /** Time of the schedule that the run is for. */
  readonly slot?: Date | undefined;
  readonly missedSlots?: readonly Date[] | undefined;
  /** A run that was interrupted, to continue with the VMs that are not done. */
  readonly resume?: OpenRun | undefined;
  /** Names, ids or patterns: only these VMs of the selection. */
  readonly only?: readonly string[] | undefined;
  /** A missing repository is made, also when the job has earlier points. */
  readonly newRepository?: boolean | undefined;
  readonly state: Pick<StateFolder, 'lockJob' | 'read' | 'readAll' | 'update'>;
  /** @defaultValue that of the machine */
  readonly clock?: Clock | undefined;
  /** @defaultValue limits of this run alone */
  readonly gates?: EngineGates | undefined;
  /** Where sessions run. @defaultValue this process */
  readonly openRunner?: OpenRunner | undefined;
  /** Patience with the engine. @defaultValue as sessions have it */
  readonly timings?: OvirtTimings | undefined;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
  /** Called after each session of a VM, when its result is in the state. */
  readonly onResult?: ((result: VmResult) => void) | undefined;
}

class ConductedRun {
  readonly #options: RunOptions;
  readonly #clock: Clock;
  readonly #open: OpenRun;
  /** Messages after the report: what could not be told or kept. */
  readonly #late: SessionMessage[] = [];
  /** VMs that have a point, which the state does not tell yet. */
  readonly #newlyDone: string[] = [];
  #lastWrite: Promise<void> = Promise.resolve();
  #nextWrite: Promise<void> | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    const { slot, resume } = options;
    this.#open = resume ?? {
      runId: randomUUID(),
      startedAt: this.#clock.now().toISOString(),
      ...(slot ? { slot: slot.toISOString() } : {}),
      doneVms: [],
    };
  }

  async run(): Promise<RunReport> {
    const { state, job, trigger, signal, only } = this.#options;
    await using right = await state.lockJob(job.name).catch(async (error: unknown) => {
      await this.#tellNoLock(toFailure(error, signal));
      throw error;
    });
    const previous = await this.#previous();
    // A run of some VMs takes the place of no other run, also not of one that is to continue.
    if (!only) await this.#update((now) => openRunOf(now, this.#open));
    const both = AbortSignal.any([signal, right.lost]);
    const report = await this.#runJob(previous, both).catch(async (error: unknown) => {
      if (!only && !right.lost.aborted)
        await this.#update((now) => ({ ...now, openRun: previous.openRun }));
      throw error;
    });
    // Otherwise the state is that of the process that runs the job now.
    await right.assertHeld();
    // The daemon continues such a run after its next start: it is not over.
    const mayContinue = trigger === 'schedule' && !isStoppedByHand(signal);
    if (signal.aborted && mayContinue) return report;
    await this.#end(report, previous);
    return { ...report, messages: [...report.messages, ...this.#late] };
  }

  /** Keeps and tells a report that {@link run} did not make. */
  async conclude(report: RunReport): Promise<RunReport> {
    await this.#end(report, await this.#previous());
    return { ...report, messages: [...report.messages, ...this.#late] };
  }

  /** A state folder that is full or read-only means a night without a backup. */
  async #tellNoLock(error: BackupError): Promise<void> {
    const { job, trigger } = this.#options;
    // The daemon tells of its runs itself.
    const isTold = error.code === 'JOB_RUNNING' || trigger === 'schedule';
    if (isTold || error instanceof CancelledError) return;
    const nowMs = this.#clock.now().getTime();
    const previous = await this.#previous();
    await this.#end(brokenRun(job, previous, this.#open, error, nowMs, trigger), previous);
  }

  async #previous(): Promise<JobState> {
    const { state, job } = this.#options;
    try {
      return await state.read(job.name);
    } catch (error) {
      this.#noteFailure('JOB-628', error);
      return newState(job.name);
    }
  }

  async #runJob(previous: JobState, signal: AbortSignal): Promise<RunReport> {
    const { runId, startedAt, slot, doneVms } = this.#open;
    return await runJob({
      ...this.#options,
      signal,
      runId,
      startedAt: new Date(startedAt),
      slot: slot === undefined ? undefined : new Date(slot),
      doneVms,
      previous,
      clock: this.#clock,
      gates: this.#options.gates ?? new EngineGates(this.#clock),
      onResult: async (result) => await this.#addDone(result),
    });
  }

  /**
   * So a run that is killed continues with the other VMs. A write of the state grows with all of
   * its VMs, so the VMs that come during one share the next.
   */
  async #addDone(result: VmResult): Promise<void> {
    const { vmId, vmName, report } = result;
    if (report) {
      this.#newlyDone.push(vmId || vmName);
      this.#nextWrite ??= this.#lastWrite.then(async () => await this.#writeDone());
      await this.#nextWrite;
    }
    this.#options.onResult?.(result);
  }

  async #writeDone(): Promise<void> {
    this.#lastWrite = this.#nextWrite ?? this.#lastWrite;
    this.#nextWrite = undefined;
    const vms = this.#newlyDone.splice(0);
    const { runId } = this.#open;
    await this.#update((now) => vms.reduce((state, vm) => addDoneVm(state, runId, vm), now));
  }

  async #end(report: RunReport, previous: JobState): Promise<void> {
    const { job, logger, signal: own } = this.#options;
    const signal = own.aborted ? AbortSignal.timeout(STOPPED_MS) : own;
    await this.#saveReport(report, signal);
    const now = this.#clock.now();
    const onMessage = (message: SessionMessage): void => this.#note(message);
    const { failed } = await notifyRun({ job, report, previous, now, logger, signal, onMessage });
    await this.#update((state) => {
      const failedNotifications = state.failedNotifications + failed;
      return { ...applyRun(state, report, now), failedNotifications };
    });
    await this.#writeMetrics(now);
  }

  async #saveReport(report: RunReport, signal: AbortSignal): Promise<void> {
    const { place, ...config } = this.#options.job.repository;
    try {
      const store = storeOptionsOf({ ...config, place }, { signal });
      // A plan that failed may have left no repository.
      await using repository = await Repository.openIfMade(place, store);
      if (repository) await saveRunReport(repository, report);
    } catch (error) {
      this.#noteFailure('JOB-627', error);
    }
  }

  async #writeMetrics(now: Date): Promise<void> {
    const { state, file } = this.#options;
    const { metricsFile } = file;
    if (metricsFile === undefined) return;
    try {
      await writeMetricsFile(metricsFile, formatMetrics(await state.readAll(), now));
    } catch (error) {
      this.#noteFailure('JOB-629', error, { file: metricsFile });
    }
  }

  async #update(change: (state: JobState) => JobState): Promise<void> {
    const { state, job } = this.#options;
    try {
      await state.update(job.name, change);
    } catch (error) {
      this.#noteFailure('JOB-628', error);
    }
  }

  #noteFailure(code: MessageCode, error: unknown, fields: { readonly file?: string } = {}): void {
    const text = error instanceof Error ? error.message : String(error);
    const reason = error instanceof BackupError ? `${text} (${error.code})` : text;
    this.#note(sessionMessage(code, { job: this.#options.job.name, reason, ...fields }));
  }

  #note(message: SessionMessage): void {
    const { logger, onMessage } = this.#options;
    if (this.#late.some(({ code, text }) => code === message.code && text === message.text)) return;
    this.#late.push(message);
    logger[message.level]({ code: message.code }, message.text);
    onMessage(message);
  }
}

/**
 * Runs a job and tells what came of it. A failure to keep or to tell the result is a message of the
 * report. It changes neither outcome nor exit code.
 *
 * A run that its signal stops keeps its state open when the schedule has started it. It can then be
 * continued by `resume`. A run that was stopped by hand is over.
 *
 * @throws {@link RepositoryError} `JOB_RUNNING`; {@link OutputError} when the lock cannot be
 *   written; {@link UsageError} as {@link runJob}
 */
export async function conductRun(options: RunOptions): Promise<RunReport> {
  return await new ConductedRun(options).run();
}

/**
 * Keeps and tells the report of a run that did not come to its own: history, state, notifications
 * and metrics, as {@link conductRun} does. It throws nothing.
 */
export async function concludeRun(options: RunOptions, report: RunReport): Promise<RunReport> {
  return await new ConductedRun(options).conclude(report);
}
