/** The console of a daemon that runs: what it shows, and what it does. */
import { toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { Daemon } from '../../jobs/daemon/daemon.ts';
import type { RunName, RunWatcher } from '../../jobs/daemon/liveParts.ts';
import type { RunEvent } from '../../jobs/daemon/parts.ts';
import type { RepositoryConfig } from '../../jobs/jobFile.ts';
import type { VmResult } from '../../jobs/runReport.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import { setDamaged } from '../../jobs/state/applyRun.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import type {
  Chain,
  ConsoleEvent,
  ConsoleSources,
  DiskMap,
  JobRow,
  LiveSession,
  PointName,
  RepositoryRow,
  RunRow,
  TaskRequest,
  TaskRow,
  VmRow,
  WorkerRow,
} from '../contract.ts';
import { type NamedVm, readBlockMap, readChain, requirePoint } from './chains.ts';
import { ConsoleEvents } from './events.ts';
import { JobBoard } from './jobBoard.ts';
import { ProgressBus } from './progressBus.ts';
import { RepositoryAccess } from './repositoryAccess.ts';
import { RepositoryRows } from './repositoryRows.ts';
import { RunHistory } from './runHistory.ts';
import { Tasks } from './tasks.ts';

export interface LiveConsoleOptions {
  /** Asked for each use: the daemon is made after its watchers. */
  readonly daemon: () => Pick<Daemon, 'health' | 'place' | 'startNow' | 'stopRun'>;
  /** Folder of restored disks. Without one disks are not restored to files. */
  readonly restoreFolder: string | undefined;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
  /** Processes of the fleet. @defaultValue none */
  readonly workers?: (() => Promise<readonly WorkerRow[]>) | undefined;
  /** Time for a repository to answer. @defaultValue 30 seconds */
  readonly repositoryLimitMs?: number | undefined;
  /** Patience with the engine. @defaultValue as sessions have it */
  readonly timings?: OvirtTimings | undefined;
}

function nowMs(): number {
  return Date.now();
}

/** Each name of a repository once, in the order of the file. */
function distinct(
  configs: readonly (RepositoryConfig | undefined)[],
  key: 'name' | 'place',
): RepositoryConfig[] {
  const all = configs.filter((config) => config !== undefined);
  return [...new Map(all.map((config) => [config[key], config])).values()];
}

export class LiveConsole implements ConsoleSources, RunWatcher, AsyncDisposable {
  readonly #options: LiveConsoleOptions;
  readonly #events: ConsoleEvents;
  readonly #bus: ProgressBus;
  readonly #board: JobBoard;
  readonly #access: RepositoryAccess;
  readonly #repositories: RepositoryRows;
  readonly #history: RunHistory;
  readonly #tasks: Tasks;

  constructor(options: LiveConsoleOptions) {
    const { daemon, logger, restoreFolder, timings, repositoryLimitMs } = options;
    this.#options = options;
    this.#events = new ConsoleEvents(logger);
    const events = this.#events;
    const onVm = (jobName: string, vmKey: string): void => this.#board.onVm(jobName, vmKey);
    this.#bus = new ProgressBus({ events, nowMs, onVm });
    const sessionOf = (jobName: string, vmKey: string) => this.#bus.sessionOf(jobName, vmKey);
    this.#board = new JobBoard({ daemon, events, nowMs, sessionOf });
    this.#access = new RepositoryAccess(repositoryLimitMs);
    this.#repositories = new RepositoryRows({ access: this.#access, nowMs });
    this.#history = new RunHistory(this.#access, nowMs);
    this.#tasks = new Tasks({
      events,
      bus: this.#bus,
      restoreFolder,
      timings,
      logger,
      now: () => new Date(),
      onMessage: (message, jobName) => {
        options.onMessage(message);
        this.onMessage(message, jobName);
      },
      onEnd: (row) => this.#do(this.#onTaskEnd(row)),
    });
  }

  async vms(): Promise<readonly VmRow[]> {
    return await this.#board.vms();
  }

  async jobs(): Promise<readonly JobRow[]> {
    return await this.#board.jobs();
  }

  async chain(jobName: string, vmKey: string): Promise<Chain> {
    return await readChain(this.#access, await this.#board.requireVm(jobName, vmKey));
  }

  async blockMap({ jobName, vmKey, pointId }: PointName): Promise<readonly DiskMap[] | undefined> {
    const named = await this.#board.requireVm(jobName, vmKey);
    return await readBlockMap(this.#access, named, pointId);
  }

  async runs(jobName: string | undefined, most: number): Promise<readonly RunRow[]> {
    if (jobName === undefined) {
      return await this.#history.rows(this.#runPlaces, (job) => this.#isOurs(job), most);
    }
    const { repository } = this.#board.requireJob(jobName);
    return await this.#history.rows([repository], (job) => job === jobName, most);
  }

  async runPage(runId: string): Promise<string | undefined> {
    return await this.#history.page(this.#runPlaces, (job) => this.#isOurs(job), runId);
  }

  async repositories(): Promise<readonly RepositoryRow[]> {
    const file = this.#options.daemon().place?.file;
    const ofJobs = [...(file?.jobs.values() ?? [])].flatMap(({ repository, copyTo }) => {
      return [repository, copyTo];
    });
    const all = [...(file?.repositories.values() ?? []), ...ofJobs];
    return await this.#repositories.rows(distinct(all, 'name'));
  }

  async workers(): Promise<readonly WorkerRow[]> {
    return (await this.#options.workers?.()) ?? [];
  }

  sessions(): readonly LiveSession[] {
    return this.#bus.sessions;
  }

  tasks(): readonly TaskRow[] {
    return this.#tasks.rows;
  }

  async startRun(jobName: string, only: readonly string[] | undefined): Promise<{ runId: string }> {
    return { runId: await this.#options.daemon().startNow(jobName, only) };
  }

  async stopRun(runId: string): Promise<void> {
    await Promise.resolve(this.#options.daemon().stopRun(runId));
  }

  async startTask(request: TaskRequest): Promise<TaskRow> {
    this.#tasks.check(request);
    const { jobName, vmKey } = request;
    const named = await this.#board.requireVm(jobName, vmKey);
    await requirePoint(this.#access, named, request, disksOf(request));
    const { vmId, vmName } = named.vm;
    return this.#tasks.start(request, { job: named.job, vm: vmId || vmName, vmName });
  }

  async stopTask(taskId: string): Promise<void> {
    await Promise.resolve(this.#tasks.stop(taskId));
  }

  subscribe(onEvent: (event: ConsoleEvent) => void): () => void {
    return this.#events.subscribe(onEvent);
  }

  /** A message of the daemon, of a run or of a task. */
  onMessage(message: SessionMessage, jobName: string | undefined): void {
    const ofJob = jobName === undefined ? {} : { jobName };
    this.#events.publish({ type: 'message', ...ofJob, message });
  }

  onRun(event: RunEvent): void {
    const { type, jobName, runId } = event;
    if (type === 'ended') {
      this.#bus.end({ runId });
      this.#refresh(jobName);
    }
    this.#do(this.#board.onRun(event));
  }

  onProgress(event: ProgressEvent, run: RunName): void {
    this.#bus.onProgress(event, run);
  }

  onResult(result: VmResult, { jobName }: RunName): void {
    this.#board.onResult(jobName, result);
  }

  onState(jobName: string): void {
    this.#do(this.#board.onState(jobName));
  }

  /** Begins to stop all tasks in order. */
  stopTasks(): void {
    this.#tasks.stopAll();
  }

  /** Waits until all tasks have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
    await this.#access[Symbol.asyncDispose]();
    this.#bus[Symbol.dispose]();
  }

  /** Repositories that hold reports of runs. */
  get #runPlaces(): RepositoryConfig[] {
    const jobs = this.#options.daemon().place?.file.jobs.values() ?? [];
    return distinct(
      [...jobs].map(({ repository }) => repository),
      'place',
    );
  }

  #isOurs(jobName: string): boolean {
    return this.#options.daemon().place?.file.jobs.has(jobName) ?? false;
  }

  #refresh(jobName: string): void {
    const job = this.#options.daemon().place?.file.jobs.get(jobName);
    for (const config of [job?.repository, job?.copyTo]) {
      if (config) this.#repositories.refresh(config.place);
    }
    if (job) this.#history.refresh(job.repository.place);
  }

  /** What verify finds in the latest point of a VM is part of its state. */
  async #onTaskEnd({ request, state, failure }: TaskRow): Promise<void> {
    const isDamaged = failure?.code === 'INTEGRITY_DAMAGE_FOUND';
    if (request.type !== 'verify' || (state !== 'done' && !isDamaged)) return;
    const named: NamedVm = await this.#board.requireVm(request.jobName, request.vmKey);
    const { points } = await readChain(this.#access, named);
    if (points.at(-1)?.pointId !== request.pointId) return;
    const change = this.#options.daemon().place?.states.update(request.jobName, (before) => {
      return setDamaged(before, named.vm, isDamaged);
    });
    await change;
    await this.#board.onState(request.jobName);
  }

  /** Work that nobody waits for. */
  #do(work: Promise<void>): void {
    work.catch((error: unknown) => {
      const { code, message } = toFailure(error);
      this.#options.logger.warn({ code }, `console: ${message}`);
    });
  }
}

function disksOf(request: TaskRequest): readonly string[] {
  if (request.type === 'restoreFiles') return request.diskIds;
  return request.type === 'export' ? [request.diskId] : [];
}
