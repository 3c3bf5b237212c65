/** One run of a job: hooks, plan, sessions, prune, verify, copy, hooks. It touches no state. */
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { requireNativeLz4 } from '../../compute/lz4Binding.ts';
import { toFailure, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { compareNames } from '../../core/namePattern.ts';
import { type MessageCode, type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import type { Repository } from '../../repository/repository.ts';
import {
  checkSessionOptions,
  loginForSessions,
  type VmSessionOptions,
} from '../../sessions/backup/vmRunner.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import { SessionLog } from '../../sessions/shared/sessionLog.ts';
import { startRepository } from '../../sessions/shared/startRepository.ts';
import type { Clock } from '../clock.ts';
import { engineSettings, storeOptionsOf } from '../config/connectionSettings.ts';
import type { JobConfig } from '../jobFile.ts';
import type { JobState } from '../jobState.ts';
import type { FailedStep, RunReport, VmResult } from '../runReport.ts';
import { windowEnd } from '../schedule/schedule.ts';
import type { EngineGates } from './engineGates.ts';
import { openLocalRunner, type OpenRunner } from './runners.ts';
import { doneResults, isDone } from './resume.ts';
import { concluded } from './outcome.ts';
import { requireNoPast } from './pastPoints.ts';
import { retryPlan } from './planRetry.ts';
import { planRun, type RunPlan } from './runPlan.ts';
import { RunHooks } from './runHooks.ts';
import {
  copyStep,
  foldersOf,
  pruneStep,
  type StepContext,
  type Steps,
  verifyStep,
} from './steps.ts';
import { isStoppedByHand } from '../stopByHand.ts';
import { namesText, notStarted, type QueueOptions, VmQueue } from './vmQueue.ts';

export interface JobRunOptions {
  readonly job: JobConfig;
  readonly runId: string;
  readonly trigger: RunReport['trigger'];
  /** Start of the run, also of one that is continued. */
  readonly startedAt: Date;
  readonly slot?: Date | undefined;
  readonly missedSlots?: readonly Date[] | undefined;
  /** VMs whose sessions ended before the run was interrupted. */
  readonly doneVms?: readonly string[] | undefined;
  /** Names, ids or patterns: only these VMs of the selection. */
  readonly only?: readonly string[] | undefined;
  /** A missing repository is made, also when the job has earlier points. */
  readonly newRepository?: boolean | undefined;
  /** What the job knows of its earlier runs. */
  readonly previous: JobState;
  readonly clock: Clock;
  readonly gates: EngineGates;
  /** Where sessions run. @defaultValue this process */
  readonly openRunner?: OpenRunner | undefined;
  /** Patience with the engine. @defaultValue as sessions have it */
  readonly timings?: OvirtTimings | undefined;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
  /** Called after each session, before the next one takes its place. */
  readonly onResult?: ((result: VmResult) => Promise<void>) | undefined;
}

/** How the sessions of a job read and store. */
export function sessionOptionsOf(
  options: Pick<
    JobRunOptions,
    'job' | 'signal' | 'logger' | 'onMessage' | 'onProgress' | 'onStatus'
  >,
): VmSessionOptions {
  const { job, signal, logger, onMessage, onProgress, onStatus } = options;
  const { bytesPerSecond } = job.limits;
  const reads = { ...job.backup, excludeDiskPatterns: job.excludeDisks, bytesPerSecond };
  return { ...reads, signal, logger, onMessage, onProgress, onStatus };
}

type FailedPart = FailedStep['step'];

class JobRun {
  readonly #options: JobRunOptions;
  readonly #session: SessionLog;
  readonly #hooks: RunHooks;
  readonly #failedSteps: FailedStep[] = [];
  #plan: RunPlan = { vms: [], vanishedVms: [], newVms: [] };
  #results: readonly VmResult[] = [];
  #steps: Steps = {};
  /** Who names VMs by hand gets an error: it is no failure of the job. */
  #misuse: UsageError | undefined;

  constructor(options: JobRunOptions) {
    this.#options = options;
    const { job, runId } = options;
    this.#session = new SessionLog(options, { job: job.name, runId });
    this.#hooks = new RunHooks(options, this.#session.log);
  }

  async run(): Promise<RunReport> {
    const { signal, job, runId } = this.#options;
    const isReady = await this.#try('hook', async () => await this.#hooks.before());
    if (isReady) {
      await this.#try('plan', async () => {
        await using repository = await this.#backUp();
        if (!signal.aborted) await this.#follow(repository);
      });
    }
    if (isStoppedByHand(signal)) {
      this.#session.note(sessionMessage('JOB-641', { job: job.name, run: runId }));
    }
    await this.#try('hook', async () => await this.#hooks.after(this.#report()));
    if (this.#misuse) throw this.#misuse;
    return this.#report();
  }

  /** @returns false when the part failed. Its error is in the report then. */
  async #try(step: FailedPart, work: () => Promise<void>): Promise<boolean> {
    const { job, signal } = this.#options;
    try {
      await work();
      return true;
    } catch (error) {
      if (this.#isMisuse(step, error)) {
        this.#misuse = error;
        return false;
      }
      const { code, message, hint } = toFailure(error, signal);
      this.#failedSteps.push({ step, code, message, hint });
      // Who stops a run knows it.
      if (code === 'CANCELLED') return false;
      const fields = { step, job: job.name, reason: message, code, hint: sentenceOf(hint) };
      this.#session.note(sessionMessage('JOB-625', fields));
      return false;
    }
  }

  /** True for a name by hand that fits no VM, before anything was done. */
  #isMisuse(step: FailedPart, error: unknown): error is UsageError {
    const isByHand = step === 'plan' && this.#options.only !== undefined;
    return isByHand && this.#results.length === 0 && error instanceof UsageError;
  }

  /** Plans and runs the sessions. @returns the repository, which the caller closes. */
  async #backUp(): Promise<Repository> {
    const { job, signal, previous, newRepository, onStatus } = this.#options;
    const { clock, windowEndMs = Infinity } = this.#queueOptions;
    const mostWaitMs = (): number => windowEndMs - clock.now().getTime();
    const sessions = { ...sessionOptionsOf(this.#options), mostWaitMs };
    const codecs = await createBlockCodecs();
    checkSessionOptions(sessions, codecs);
    if (job.strict) requireNativeLz4(codecs.lz4, 'leave out "strict"');
    await using engine = await retryPlan(
      async () => await this.#loginAndPlan(sessions),
      this.#queueOptions,
    );
    // Until their sessions: the repository may not open.
    this.#results = this.#plan.vms.map(notStarted);
    this.#notePlan();
    const { log: logger, note: onMessage } = this.#session;
    const store = storeOptionsOf(job.repository, { signal, onWait: onStatus });
    const beforeMake = (): void => {
      if (!newRepository) requireNoPast(job, previous);
    };
    const place = { store, signal, onStatus, onMessage, logger, mode: job.backup.mode, beforeMake };
    const repository = await startRepository(job.repository.place, place);
    try {
      const { openRunner = openLocalRunner, runId } = this.#options;
      const parts = { engine, repository, codecs };
      await using runner = await openRunner({
        job,
        runId,
        parts,
        sessions,
        note: this.#session.note,
      });
      const most = runner.mostSessions ?? Infinity;
      const parallelVms = Math.min(job.limits.parallelVms, most);
      const queue = new VmQueue({ ...this.#queueOptions, parallelVms, runner });
      await this.#runSessions(queue, repository);
      return repository;
    } catch (error) {
      await repository.close();
      throw error;
    }
  }

  /** @returns the login, which the caller closes. */
  async #loginAndPlan(sessions: VmSessionOptions): Promise<EngineApi> {
    const { job, timings, signal, previous, only } = this.#options;
    const { log: logger, note: onMessage } = this.#session;
    const settings = await engineSettings(job.engine, timings, signal);
    const engine = await loginForSessions(settings, sessions);
    try {
      const past = previous.vms;
      this.#plan = await planRun(engine, job, { past, only, signal, logger, onMessage });
      return engine;
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #queueOptions(): Omit<QueueOptions, 'runner' | 'parallelVms'> {
    const { job, gates, clock, signal, slot, startedAt } = this.#options;
    const { perStorageDomain, perHost } = job.limits;
    return {
      jobName: job.name,
      gate: gates.of(job.engine),
      priority: job.priority,
      limits: { parallelVms: job.engine.parallelVms, perStorageDomain, perHost },
      retry: job.retry,
      windowEndMs: windowEnd(job, (slot ?? startedAt).getTime()),
      clock,
      signal,
      note: this.#session.note,
      onResult: async (result) => await this.#onResult(result),
    };
  }

  async #onResult(result: VmResult): Promise<void> {
    const { vmName, failure, attempts } = result;
    if (failure) {
      this.#session.log.error({ vmName, code: failure.code, attempts }, failure.message);
    }
    await this.#options.onResult?.(result);
  }

  /** Without the VMs that were done before the run was interrupted. */
  async #runSessions(queue: VmQueue, repository: Repository): Promise<void> {
    const { doneVms = [], startedAt } = this.#options;
    const { vms } = this.#plan;
    const known = new Set(doneVms);
    const done = new Set(vms.filter((vm) => isDone(vm, known)));
    const results = await doneResults(repository, [...done], startedAt);
    const left = vms.filter((vm) => !done.has(vm));
    this.#results = [...results, ...(await queue.run(left))].toSorted((a, b) =>
      compareNames(a.vmName, b.vmName),
    );
  }

  #notePlan(): void {
    const { job } = this.#options;
    const { vanishedVms, newVms } = this.#plan;
    const note = (code: MessageCode, names: readonly string[]): void => {
      if (names.length === 0) return;
      this.#session.note(sessionMessage(code, { vms: namesText(names), job: job.name }));
    };
    note('JOB-620', vanishedVms);
    note('JOB-626', newVms);
  }

  /** Each step is tried, also when the one before it failed. */
  async #follow(repository: Repository): Promise<void> {
    const { job, signal, onMessage, onProgress, onStatus } = this.#options;
    const logger = this.#session.log;
    const folders = await foldersOf(repository, this.#plan.vms);
    const tools = { job, signal, logger, onMessage, onProgress, onStatus };
    const context: StepContext = { repository, folders, ...tools };
    const add = (result: Steps): void => {
      this.#steps = { ...this.#steps, ...result };
    };
    const parts: readonly [FailedPart, () => Promise<void>][] = [
      ['prune', async () => add({ prune: await pruneStep(context) })],
      ['verify', async () => add({ verify: await verifyStep(context) })],
      ['copy', async () => add({ copy: await copyStep(context) })],
    ];
    for (const [step, work] of parts) {
      if (!signal.aborted) await this.#try(step, work);
    }
  }

  #report(): RunReport {
    const { job, runId, trigger, slot, startedAt, clock, missedSlots = [], only } = this.#options;
    const { vanishedVms, newVms } = this.#plan;
    const report = {
      type: 'run' as const,
      runId,
      jobName: job.name,
      repository: job.repository.place,
      trigger,
      ...(only ? { isPartial: true } : {}),
      ...(slot ? { slot: slot.toISOString() } : {}),
      startedAt: startedAt.toISOString(),
      durationSeconds: (clock.now().getTime() - startedAt.getTime()) / 1000,
      vms: this.#results,
      vanishedVms,
      newVms,
      missedSlots: missedSlots.map((time) => time.toISOString()),
      hooks: this.#hooks.results,
      failedSteps: [...this.#failedSteps],
      ...this.#steps,
      messages: [...this.#session.messages],
    };
    return concluded(report, job.accept);
  }
}

function sentenceOf(hint: string): string {
  return `${hint.slice(0, 1).toUpperCase()}${hint.slice(1)}.`;
}

/**
 * Runs a job. A VM or a step that fails does not stop the others. It throws nothing for them: all
 * failures are in the report. When the signal stops it, VMs that are left are `notStarted`.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND` for an entry of `only` that fits no VM of the job
 */
export async function runJob(options: JobRunOptions): Promise<RunReport> {
  return await new JobRun(options).run();
}
