/** A daemon that is made up, for tests of the console and for looking at its page. */
import { UsageError } from '../../../src/core/errors.ts';
import { sessionMessage } from '../../../src/core/messages.ts';
import type {
  Chain,
  ConsoleEvent,
  ConsoleSources,
  DiskMap,
  JobRow,
  LiveSession,
  PointName,
  PointRow,
  RepositoryRow,
  RunRow,
  TaskRequest,
  TaskRow,
  VmRow,
  WorkerRow,
} from '../../../src/console/contract.ts';
import { madeUpId } from '../report/madeUpReports.ts';
import { type FakeFleet, makeFleet, mapsOf } from './fakeFleet.ts';

const GIB = 1024 ** 3;
/** Steps of {@link FakeSources.advance} that a session takes. */
const STEPS = 12;
/** VMs of a run that are backed up at once. */
const PARALLEL = 4;

export interface FakeOptions {
  /** Of all five jobs together. */
  readonly vmCount?: number;
  /** All times are told from here. */
  readonly now?: Date;
}

interface OpenSession {
  readonly vm: VmRow;
  readonly task: TaskRow | undefined;
  live: LiveSession;
  step: number;
}

function notFound(what: string): UsageError {
  return new UsageError('USAGE_NOT_FOUND', `there is no ${what}`, { hint: 'load the page again' });
}

/**
 * Sessions go on only by {@link advance}. At the start a run of the job `nightly` goes on, and an
 * export is served. In their second step sessions wait for the engine.
 */
export class FakeSources implements ConsoleSources {
  /** Thrown by the next call, whichever it is. */
  nextFailure: unknown;
  readonly #fleet: FakeFleet;
  readonly #now: Date;
  readonly #vms = new Map<string, VmRow>();
  readonly #jobs = new Map<string, JobRow>();
  readonly #open = new Map<string, OpenSession>();
  readonly #waiting = new Map<string, VmRow[]>();
  readonly #tasks = new Map<string, TaskRow>();
  readonly #listeners = new Set<(event: ConsoleEvent) => void>();
  #made = 0;

  constructor({ vmCount = 2000, now = new Date() }: FakeOptions = {}) {
    this.#now = now;
    this.#fleet = makeFleet(now, vmCount);
    for (const vm of this.#fleet.vms) this.#vms.set(`${vm.jobName}\n${vm.vmKey}`, vm);
    for (const job of this.#fleet.jobs) this.#jobs.set(job.name, job);
    this.#begin('nightly', undefined);
    this.#beginTask(this.#firstExport());
    this.#addEndedTasks();
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  async vms(): Promise<readonly VmRow[]> {
    this.#mayFail();
    return await Promise.resolve([...this.#vms.values()]);
  }

  async jobs(): Promise<readonly JobRow[]> {
    this.#mayFail();
    return await Promise.resolve([...this.#jobs.values()]);
  }

  async chain(jobName: string, vmKey: string): Promise<Chain> {
    this.#mayFail();
    return await Promise.resolve(this.#fleet.chainOf(this.#vm(jobName, vmKey)));
  }

  async blockMap(name: PointName): Promise<readonly DiskMap[] | undefined> {
    this.#mayFail();
    const point = this.#point(name);
    return await Promise.resolve(point.hasMap ? mapsOf(point) : undefined);
  }

  async runs(jobName: string | undefined, most: number): Promise<readonly RunRow[]> {
    this.#mayFail();
    if (jobName !== undefined) this.#job(jobName);
    const rows = this.#fleet.runs.filter((run) => jobName === undefined || run.jobName === jobName);
    return await Promise.resolve(rows.slice(0, most));
  }

  async runPage(runId: string): Promise<string | undefined> {
    this.#mayFail();
    const run = this.#fleet.runs.find((one) => one.runId === runId);
    if (!run) return await Promise.resolve(undefined);
    return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Run of ${run.jobName}</title>
<style>body{font-family:sans-serif}</style></head><body><h1>${run.jobName}</h1><p>${run.outcome}</p></body></html>`;
  }

  async repositories(): Promise<readonly RepositoryRow[]> {
    this.#mayFail();
    return await Promise.resolve(this.#fleet.repositories);
  }

  async workers(): Promise<readonly WorkerRow[]> {
    this.#mayFail();
    return await Promise.resolve(this.#fleet.workers);
  }

  sessions(): readonly LiveSession[] {
    return [...this.#open.values()].map(({ live }) => live);
  }

  tasks(): readonly TaskRow[] {
    return [...this.#tasks.values()];
  }

  async startRun(jobName: string, only: readonly string[] | undefined): Promise<{ runId: string }> {
    this.#mayFail();
    const job = this.#job(jobName);
    if (job.runId !== undefined) {
      throw new UsageError('JOB_RUNNING', `job ${jobName} runs already`);
    }
    for (const vmKey of only ?? []) this.#vm(jobName, vmKey);
    return await Promise.resolve({ runId: this.#begin(jobName, only) });
  }

  async stopRun(runId: string): Promise<void> {
    this.#mayFail();
    const job = [...this.#jobs.values()].find((one) => one.runId === runId);
    if (!job) throw notFound(`run ${runId} that goes on`);
    this.#waiting.delete(job.name);
    for (const open of this.#open.values()) {
      if (open.live.runId === runId) this.#end(open, 'cancelled');
    }
    await Promise.resolve();
  }

  async startTask(request: TaskRequest): Promise<TaskRow> {
    this.#mayFail();
    this.#point(request);
    return await Promise.resolve(this.#beginTask(request));
  }

  async stopTask(taskId: string): Promise<void> {
    this.#mayFail();
    const open = [...this.#open.values()].find((one) => one.task?.taskId === taskId);
    if (!open) throw notFound(`task ${taskId} that goes on`);
    this.#end(open, 'cancelled');
    await Promise.resolve();
  }

  subscribe(onEvent: (event: ConsoleEvent) => void): () => void {
    this.#listeners.add(onEvent);
    return () => this.#listeners.delete(onEvent);
  }

  emit(event: ConsoleEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** All sessions go on by one step; those at their last step end, and the next VMs begin. */
  advance(): void {
    for (const open of this.#open.values()) this.#step(open);
  }

  #mayFail(): void {
    const failure = this.nextFailure;
    this.nextFailure = undefined;
    // oxlint-disable-next-line typescript/only-throw-error -- a test may throw anything
    if (failure !== undefined) throw failure;
  }

  #job(name: string): JobRow {
    const job = this.#jobs.get(name);
    if (!job) throw notFound(`job ${name}`);
    return job;
  }

  #vm(jobName: string, vmKey: string): VmRow {
    this.#job(jobName);
    const vm = this.#vms.get(`${jobName}\n${vmKey}`);
    if (!vm) throw notFound(`VM ${vmKey} in job ${jobName}`);
    return vm;
  }

  #point({ jobName, vmKey, pointId }: PointName): PointRow {
    const { points } = this.#fleet.chainOf(this.#vm(jobName, vmKey));
    const point = points.find((one) => one.pointId === pointId);
    if (!point) throw notFound(`restore point ${pointId}`);
    return point;
  }

  #begin(jobName: string, only: readonly string[] | undefined): string {
    const runId = madeUpId(`live run ${this.#made++}`);
    this.#setJob({ ...this.#job(jobName), runId });
    const vms = [...this.#vms.values()].filter(
      (vm) => vm.jobName === jobName && (only?.includes(vm.vmKey) ?? true),
    );
    this.#waiting.set(jobName, vms);
    for (let of = 0; of < PARALLEL; of++) this.#beginNext(jobName);
    return runId;
  }

  #beginNext(jobName: string): void {
    const vm = this.#waiting.get(jobName)?.shift();
    if (vm) this.#openSession(vm, undefined);
  }

  #beginTask(request: TaskRequest): TaskRow {
    const vm = this.#vm(request.jobName, request.vmKey);
    const task: TaskRow = {
      taskId: madeUpId(`task ${this.#made++}`),
      request,
      vmName: vm.vmName,
      state: 'running',
      startedAt: this.#now.toISOString(),
      results: request.type === 'export' ? [`nbd://127.0.0.1:10809/${vm.vmKey}`] : [],
    };
    const { sessionId } = this.#openSession(vm, task).live;
    return this.#setTask({ ...task, sessionId });
  }

  #openSession(vm: VmRow, task: TaskRow | undefined): OpenSession {
    const sessionId = madeUpId(`session ${this.#made++}`);
    const runId = task ? undefined : this.#job(vm.jobName).runId;
    const live: LiveSession = {
      sessionId,
      vmName: vm.vmName,
      vmId: vm.health === 'never' ? '' : vm.vmKey,
      jobName: vm.jobName,
      ...(task ? { taskId: task.taskId } : { runId, worker: `worker-${1 + (this.#made % 4)}` }),
      startedAt: this.#now.toISOString(),
      phase: 'preparing',
      disks: [],
    };
    const open = { vm, task, live, step: 0 };
    this.#open.set(sessionId, open);
    if (!task) this.#setVm({ ...vm, sessionId });
    this.#tell(open);
    return open;
  }

  #step(open: OpenSession): void {
    open.step += 1;
    // An export lasts until it is stopped.
    if (open.task?.request.type === 'export') return;
    if (open.step > STEPS) {
      this.#end(open, open.vm.health === 'failed' && !open.task ? 'failed' : 'done');
      return;
    }
    const share = Math.max(0, open.step - 2) / (STEPS - 3);
    const { waitsFor: _, ...rest } = open.live;
    open.live = {
      ...rest,
      phase: this.#phaseOf(open),
      disks: this.#disksOf(open.vm, Math.min(1, share)),
      readBytesPerSecond: 120_000_000 + ((open.step * 7_919_000) % 90_000_000),
      ...(open.step === 2 ? { waitsFor: 'the engine: another operation holds the VM' } : {}),
    };
    this.#tell(open);
  }

  #phaseOf({ step, task }: OpenSession): LiveSession['phase'] {
    if (step <= 2) return 'preparing';
    if (task) return task.request.type === 'verify' ? 'verifying' : 'writing';
    if (step === STEPS) return 'committing';
    return step === STEPS - 1 ? 'finalizing' : 'reading';
  }

  #disksOf(vm: VmRow, share: number): LiveSession['disks'] {
    return [40, 200].map((sizeGib, index) => {
      const dataBytes = sizeGib * GIB * (index === 0 ? 0.25 : 0.04);
      const doneBytes = Math.round(dataBytes * share);
      return {
        diskId: madeUpId(`${vm.vmKey} ${index === 0 ? 'system' : 'data'}`),
        alias: `${vm.vmName}_${index === 0 ? 'system' : 'data'}`,
        mode: index === 0 ? 'incremental' : 'compare',
        sizeBytes: sizeGib * GIB,
        dataBytes,
        doneBytes,
        readBytes: doneBytes,
        ...(share === 1 ? { result: 'done' as const } : {}),
      };
    });
  }

  #end(open: OpenSession, result: 'done' | 'failed' | 'cancelled'): void {
    open.live = { ...open.live, result };
    this.#open.delete(open.live.sessionId);
    this.#tell(open);
    if (open.task) this.#endTask(open.task, result);
    else this.#endVm(open, result);
  }

  #endVm({ vm }: OpenSession, result: 'done' | 'failed' | 'cancelled'): void {
    const { sessionId: _, ...row } = vm;
    if (result === 'done') {
      const lastSuccessAt = this.#now.toISOString();
      this.#setVm({ ...row, health: 'good', lastOutcome: 'success', lastSuccessAt });
    } else {
      this.#setVm({ ...row, health: 'failed', lastOutcome: 'failure' });
      const message = sessionMessage('JOB-639', { span: '3 min' });
      this.emit({ type: 'message', jobName: vm.jobName, message });
    }
    this.#beginNext(vm.jobName);
    const isOver = !this.sessions().some(
      (live) => live.jobName === vm.jobName && live.runId !== undefined,
    );
    if (isOver) this.#endRun(vm.jobName);
  }

  #endRun(jobName: string): void {
    const { runId: _, ...job } = this.#job(jobName);
    const endedAt = this.#now.toISOString();
    this.#setJob({ ...job, lastRun: { startedAt: endedAt, endedAt, outcome: 'success' } });
  }

  #endTask(task: TaskRow, result: 'done' | 'failed' | 'cancelled'): void {
    const isDone = result === 'done';
    this.#setTask({
      ...task,
      state: isDone ? 'done' : 'stopped',
      endedAt: this.#now.toISOString(),
      results: isDone && task.request.type !== 'verify' ? ['/srv/restore/disk.raw'] : [],
    });
  }

  #firstExport(): TaskRequest {
    const vm = this.#fleet.vms.find(({ health }) => health === 'good');
    const point = vm && this.#fleet.chainOf(vm).points.at(-1);
    if (!vm || !point) throw notFound('VM with points');
    const { jobName, vmKey } = vm;
    const diskId = point.disks[0]?.diskId ?? '';
    return { type: 'export', jobName, vmKey, pointId: point.pointId, diskId };
  }

  #addEndedTasks(): void {
    const { type: _, diskId, ...point } = this.#firstExport() as TaskRequest & { type: 'export' };
    const startedAt = this.#now.toISOString();
    const base = { vmName: '<b>web01</b>', startedAt, endedAt: startedAt, results: [] };
    this.#setTask({
      ...base,
      taskId: madeUpId('old task'),
      request: { type: 'restoreFiles', diskIds: [diskId], ...point },
      state: 'done',
      results: ['/srv/restore/web01/web01_system.raw'],
    });
    this.#setTask({
      ...base,
      taskId: madeUpId('failed task'),
      request: { type: 'restoreVm', newName: 'web01 again', storageDomain: 'fast', ...point },
      state: 'failed',
      failure: {
        code: 'USAGE_OUTPUT_EXISTS',
        message: 'a VM "web01 again" exists',
        hint: 'choose another name',
      },
    });
  }

  #tell({ live }: OpenSession): void {
    this.emit({ type: 'session', session: live });
  }

  #setVm(vm: VmRow): void {
    this.#vms.set(`${vm.jobName}\n${vm.vmKey}`, vm);
    this.emit({ type: 'vm', vm });
  }

  #setJob(job: JobRow): void {
    this.#jobs.set(job.name, job);
    this.emit({ type: 'job', job });
  }

  #setTask(task: TaskRow): TaskRow {
    this.#tasks.set(task.taskId, task);
    this.emit({ type: 'task', task });
    return task;
  }
}
