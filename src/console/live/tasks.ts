/**
 * Tasks of the console: restores, verifies and exports, in this process. They are kept in memory,
 * so a restart of the daemon forgets them.
 */
import { randomUUID } from 'node:crypto';
import { CancelledError, toFailure, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { JobConfig } from '../../jobs/jobFile.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import type { TaskRequest, TaskRow } from '../contract.ts';
import type { ConsoleEvents } from './events.ts';
import type { ProgressBus } from './progressBus.ts';
import { checkTask, doTask, type TaskContext } from './taskWork.ts';

/** Each has 64 MiB of blocks, and reads as fast as it can. */
const PARALLEL_DATA_TASKS = 2;
/** An export runs until it is stopped, so it takes no place of the others. */
const MOST_EXPORTS = 16;
/** Tasks that have not ended. */
const MOST_OPEN = 100;
/** Tasks that have ended and are kept. */
const MOST_ENDED = 100;
const WAIT_TEXT = 'other tasks are running';

export interface TasksOptions {
  readonly events: ConsoleEvents;
  readonly bus: ProgressBus;
  readonly restoreFolder: string | undefined;
  /** Patience with the engine. @defaultValue as sessions have it */
  readonly timings?: OvirtTimings | undefined;
  readonly logger: Logger;
  readonly now: () => Date;
  readonly onMessage: (message: SessionMessage, jobName: string) => void;
  /** A task has ended well, or has found damage. */
  readonly onEnd: (row: TaskRow) => void;
  /** What a task does. @defaultValue the sessions of the product */
  readonly work?: ((request: TaskRequest, context: TaskContext) => Promise<void>) | undefined;
}

/** A VM as a task needs it. */
export interface TaskVm {
  readonly job: JobConfig;
  /** Id, or name where the id is unknown. */
  readonly vm: string;
  readonly vmName: string;
}

interface Task {
  row: TaskRow;
  readonly vm: TaskVm;
  readonly stop: AbortController;
  ended: Promise<void>;
}

function isOpen({ row }: Task): boolean {
  return row.state === 'running';
}

function stopped(text: string): CancelledError {
  return new CancelledError('CANCELLED', text, { hint: 'start it again when you need it' });
}

export class Tasks implements AsyncDisposable {
  readonly #options: TasksOptions;
  /** In the order of their start. */
  readonly #tasks = new Map<string, Task>();
  /** Data tasks that wait for a place, the first one next. */
  readonly #waiting: (() => void)[] = [];
  #runningCount = 0;
  #isOver = false;

  constructor(options: TasksOptions) {
    this.#options = options;
  }

  /** Newest first. */
  get rows(): readonly TaskRow[] {
    return [...this.#tasks.values()].map(({ row }) => row).toReversed();
  }

  /** @throws {@link UsageError} what {@link start} would refuse without a look at the repository */
  check(request: TaskRequest): void {
    if (this.#isOver) throw stopped('the daemon stops');
    checkTask(request, this.#options.restoreFolder);
    const open = [...this.#tasks.values()].filter(isOpen);
    const exports = open.filter(({ row }) => row.request.type === 'export');
    const isFull = request.type === 'export' && exports.length >= MOST_EXPORTS;
    if (open.length < MOST_OPEN && !isFull) return;
    throw new UsageError('USAGE_WRONG_STATE', `${open.length} tasks have not ended`, {
      hint: 'stop exports that nobody uses, or wait until tasks have ended',
    });
  }

  /** @throws {@link UsageError} as {@link check} */
  start(request: TaskRequest, vm: TaskVm): TaskRow {
    this.check(request);
    const row: TaskRow = {
      taskId: randomUUID(),
      request,
      vmName: vm.vmName,
      state: 'running',
      startedAt: this.#options.now().toISOString(),
      results: [],
    };
    const task: Task = { row, vm, stop: new AbortController(), ended: Promise.resolve() };
    this.#tasks.set(row.taskId, task);
    this.#change(task, {});
    task.ended = this.#run(task);
    return task.row;
  }

  /** Stops a task in order. One that has ended stays as it is. @throws `USAGE_NOT_FOUND` */
  stop(taskId: string): void {
    const task = this.#tasks.get(taskId);
    if (!task) {
      throw new UsageError('USAGE_NOT_FOUND', `there is no task "${taskId}"`, {
        hint: 'a restart of the daemon forgets tasks, and only the last 100 are kept',
      });
    }
    task.stop.abort(stopped('the task was stopped by hand'));
  }

  /** Begins to stop all tasks in order. Later ones are refused. */
  stopAll(): void {
    this.#isOver = true;
    for (const { stop } of this.#tasks.values()) stop.abort(stopped('the daemon was stopped'));
  }

  /** Waits until all tasks have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stopAll();
    await Promise.all([...this.#tasks.values()].map(async ({ ended }) => await ended));
  }

  /** Never rejects. */
  async #run(task: Task): Promise<void> {
    const { signal } = task.stop;
    const isData = task.row.request.type !== 'export';
    let hasPlace = false;
    try {
      if (isData) await this.#place(task);
      hasPlace = isData;
      const { work = doTask } = this.#options;
      await work(task.row.request, this.#contextOf(task));
      this.#end(task, { state: 'done' });
    } catch (error) {
      const { code, message, hint } = toFailure(error, signal);
      const isStopped = signal.aborted && code === 'CANCELLED';
      if (isStopped) this.#end(task, { state: 'stopped' });
      else this.#end(task, { state: 'failed', failure: { code, message, hint } });
    } finally {
      if (hasPlace) this.#free();
    }
  }

  /** Waits for a place. */
  async #place(task: Task): Promise<void> {
    const { signal } = task.stop;
    if (this.#runningCount >= PARALLEL_DATA_TASKS) {
      this.#change(task, { waitsFor: WAIT_TEXT });
      await new Promise<void>((resolve, reject) => {
        const go = (): void => {
          signal.removeEventListener('abort', leave);
          resolve();
        };
        const leave = (): void => {
          this.#waiting.splice(this.#waiting.indexOf(go), 1);
          reject(toFailure(signal.reason));
        };
        this.#waiting.push(go);
        signal.addEventListener('abort', leave, { once: true });
      });
      this.#change(task, { waitsFor: undefined });
      return;
    }
    this.#runningCount++;
  }

  /** Gives the place to the next one, or back. */
  #free(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#runningCount--;
  }

  #contextOf(task: Task): TaskContext {
    const { logger, restoreFolder, timings, onMessage } = this.#options;
    const { job } = task.vm;
    return {
      ...task.vm,
      restoreFolder,
      timings,
      logger,
      startedAt: new Date(task.row.startedAt),
      signal: task.stop.signal,
      onMessage: (message) => onMessage(message, job.name),
      onProgress: (event) => this.#onProgress(task, event),
      onResults: (results) => this.#change(task, { results }),
    };
  }

  #onProgress(task: Task, event: ProgressEvent): void {
    const { taskId, sessionId } = task.row;
    this.#options.bus.onProgress(event, { taskId });
    if (sessionId !== event.sessionId) this.#change(task, { sessionId: event.sessionId });
  }

  #end(task: Task, change: Pick<TaskRow, 'state' | 'failure'>): void {
    const { bus, now, onEnd } = this.#options;
    const { taskId } = task.row;
    bus.end({ taskId });
    const endedAt = now().toISOString();
    this.#change(task, { ...change, endedAt, waitsFor: undefined, sessionId: undefined });
    onEnd(task.row);
    const ended = [...this.#tasks.values()].filter((one) => !isOpen(one));
    for (const { row } of ended.slice(0, -MOST_ENDED)) this.#tasks.delete(row.taskId);
  }

  #change(task: Task, change: Partial<TaskRow>): void {
    task.row = { ...task.row, ...change };
    this.#options.events.publish({ type: 'task', task: task.row });
  }
}
