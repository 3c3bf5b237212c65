/**
 * The sessions of a run: which VM starts next, within the limits and the window, and which ones are
 * tried again.
 */
import { type BackupError, toFailure, UsageError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { FINAL_CODES, failedSession, type VmRunner } from '../../sessions/backup/vmRunner.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import type { Clock } from '../clock.ts';
import type { VmResult } from '../runReport.ts';
import type { EngineGate, GateLine } from './engineGates.ts';
import { hasProblem } from './outcome.ts';
import type { GateLimits } from './places/placedSessions.ts';

export interface QueuedVm {
  /** How the engine finds the VM: its name, or its id where the name is not unique. */
  readonly label: string;
  readonly vmName: string;
  /** Empty when the engine does not know the VM. */
  readonly vmId: string;
  /** Storage domains of its disks. Empty when no limit needs them. */
  readonly domainIds: readonly string[];
  /** Hypervisor host; undefined while the VM is down, or where the engine hides it. */
  readonly hostId: string | undefined;
}

export interface QueueOptions {
  readonly jobName: string;
  readonly runner: VmRunner;
  readonly gate: EngineGate;
  /** 1 is the highest. */
  readonly priority: number;
  readonly limits: GateLimits;
  /** Sessions of this run at once. */
  readonly parallelVms: number;
  readonly retry: { readonly times: number; readonly delayMs: number };
  /** No session starts from then on. */
  readonly windowEndMs: number | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly note: (message: SessionMessage) => void;
  /** Called after each session of a VM. */
  readonly onResult: (result: VmResult) => Promise<void>;
}

/** Names in a message. */
const MOST_NAMES = 20;

/** The first names, and how many more there are. */
export function namesText(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).join(', ');
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** Another session of the VM would fail the same way. */
function isLasting(error: BackupError): boolean {
  return error instanceof UsageError || FINAL_CODES.has(error.code);
}

function succeeded(report: SessionReport, attempts: number): VmResult {
  const { vmName, vmId } = report;
  const outcome = report.messages.some(hasProblem) ? 'warning' : 'success';
  return { vmName, vmId, outcome, attempts, report };
}

/** Result of a VM without a session. */
export function notStarted({ vmName, vmId }: QueuedVm): VmResult {
  return { vmName, vmId, outcome: 'notStarted', attempts: 0 };
}

export class VmQueue {
  readonly #options: QueueOptions;
  readonly #results = new Map<QueuedVm, VmResult>();
  /** VMs that failed, and may succeed when they are tried again. */
  readonly #retryable = new Set<QueuedVm>();
  /** An error after which no session is started. */
  #stop: BackupError | undefined;
  /** Of the present round. */
  #line: GateLine | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Runs the sessions of all VMs. Failures are in the results: only `onResult` can throw. */
  async run(vms: readonly QueuedVm[]): Promise<VmResult[]> {
    const { retry } = this.#options;
    await this.#round(vms);
    for (let time = 1; time <= retry.times; time++) {
      const failed = vms.filter((vm) => this.#retryable.has(vm));
      if (failed.length === 0 || !(await this.#pauseBefore(failed, time))) break;
      await this.#round(failed);
    }
    this.#noteNotStarted(vms);
    return vms.map((vm) => this.#results.get(vm) ?? notStarted(vm));
  }

  /** Ends when all sessions have ended that could start. */
  async #round(vms: readonly QueuedVm[]): Promise<void> {
    const { gate, limits, priority, parallelVms } = this.#options;
    const running: Promise<void>[] = [];
    const sessions = vms.map((vm) => ({
      vm: vm.vmId || vm.vmName,
      domainIds: vm.domainIds,
      hostId: vm.hostId,
      start: (leave: () => void) => void running.push(this.#session(vm, leave)),
    }));
    const mayStart = (): boolean => this.#mayStart();
    const line = gate.join({ priority, parallelVms, limits, sessions, mayStart });
    this.#line = line;
    await this.#closeAtEnd(line);
    const ended = await Promise.allSettled(running);
    const broken = ended.find(({ status }) => status === 'rejected');
    if (broken?.status === 'rejected') throw broken.reason;
  }

  #mayStart(): boolean {
    const { signal } = this.#options;
    return !signal.aborted && this.#stop === undefined && !this.#isOver();
  }

  /** True when the window has ended, or will have after a time. */
  #isOver(afterMs = 0): boolean {
    const { windowEndMs = Infinity, clock } = this.#options;
    return clock.now().getTime() + afterMs >= windowEndMs;
  }

  /** Waits until all have started, the window ends, or the run is stopped. */
  async #closeAtEnd(line: GateLine): Promise<void> {
    const { signal } = this.#options;
    const own = new AbortController();
    const isEmpty = line.isEmpty.then(() => own.abort());
    const either = AbortSignal.any([signal, own.signal]);
    while (this.#mayStart() && !own.signal.aborted) await this.#windowEnd(either);
    line.close();
    await isEmpty;
  }

  async #windowEnd(signal: AbortSignal): Promise<void> {
    const { clock, windowEndMs } = this.#options;
    if (windowEndMs === undefined) return await aborted(signal);
    await clock.sleep(windowEndMs - clock.now().getTime(), signal).catch(() => {});
  }

  async #session(vm: QueuedVm, leave: () => void): Promise<void> {
    const { runner, signal, onResult } = this.#options;
    const attempts = (this.#results.get(vm)?.attempts ?? 0) + 1;
    try {
      const result = await runner.backup(vm, { signal, attempt: attempts }).then(
        (report) => this.#succeed(vm, report, attempts),
        (error: unknown) => this.#fail(vm, toFailure(error, signal), attempts),
      );
      this.#results.set(vm, result);
      await onResult(result);
    } catch (error) {
      // The round tells it when the other sessions have ended.
      this.#line?.close();
      throw error;
    } finally {
      leave();
    }
  }

  #succeed(vm: QueuedVm, report: SessionReport, attempts: number): VmResult {
    this.#retryable.delete(vm);
    return succeeded(report, attempts);
  }

  #fail(vm: QueuedVm, error: BackupError, attempts: number): VmResult {
    const { vmName, vmId } = vm;
    if (isLasting(error)) this.#retryable.delete(vm);
    else this.#retryable.add(vm);
    if (FINAL_CODES.has(error.code) && this.#stop === undefined) this.#stopAfter(error);
    const failure = failedSession(vmName, error);
    return { vmName, vmId, outcome: 'failure', attempts, failure };
  }

  /** A wrong password, tried once for each VM, would lock the account. */
  #stopAfter(error: BackupError): void {
    const { signal, note, jobName: job } = this.#options;
    this.#stop = error;
    this.#line?.close();
    const { code, message: reason } = error;
    if (!signal.aborted) note(sessionMessage('JOB-624', { job, reason, code }));
  }

  /** @returns false when the VMs are not tried again. */
  async #pauseBefore(failed: readonly QueuedVm[], time: number): Promise<boolean> {
    const { retry, clock, signal, note, jobName: job } = this.#options;
    if (!this.#mayStart()) return false;
    const vms = namesText(failed.map(({ vmName }) => vmName));
    if (this.#isOver(retry.delayMs)) {
      note(sessionMessage('JOB-623', { vms, job }));
      return false;
    }
    note(sessionMessage('JOB-622', { vms, n: time, max: retry.times }));
    await clock.sleep(retry.delayMs, signal).catch(() => {});
    return this.#mayStart();
  }

  #noteNotStarted(vms: readonly QueuedVm[]): void {
    const { note, jobName: job } = this.#options;
    const left = vms.filter((vm) => !this.#results.has(vm)).map(({ vmName }) => vmName);
    if (left.length === 0 || !this.#isOver()) return;
    note(sessionMessage('JOB-621', { n: left.length, vms: namesText(left), job }));
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
