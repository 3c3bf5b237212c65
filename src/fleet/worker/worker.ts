/**
 * A worker of a fleet. It takes a session only when it has a free place, so that no session waits
 * in a full worker. It takes none without a planner of its own version.
 */
import type { Job, Worker as BullWorker } from 'bullmq';
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { WorkerRow } from '../../console/contract.ts';
import { toFailure } from '../../core/errors.ts';
import { type MessageLevel, sessionMessage } from '../../core/messages.ts';
import { readJobFile } from '../../jobs/config/readJobFile.ts';
import { packageVersion } from '../../core/installation.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import { type LinkOptions, QueueLink, type QueueSettings } from '../connection.ts';
import { type FleetJob, fleetJobSchema } from '../jobData.ts';
import { checkLabel, PREFIX, queueName, SENT_CHANNEL } from '../keys.ts';
import { listen, Pause } from '../news.ts';
import type { SessionOutcome } from '../outcome.ts';
import { type PlannerFacts, readPlanner } from '../plannerFacts.ts';
import { removeWorker, writeWorker } from '../registry.ts';
import { ChildPool } from './childPool.ts';
import { leaveQueue } from './leaveQueue.ts';
import { type TakenParts, TakenSession } from './takenSession.ts';

export interface WorkerOptions extends LinkOptions {
  readonly settings: QueueSettings;
  /** Absolute path of the job file. */
  readonly file: string;
  /** Sessions at once, 1 to 16. */
  readonly parallelVms: number;
  /** Takes also sessions of jobs with one of these labels. */
  readonly labels: readonly string[];
  /** Patience with the engine. @defaultValue as sessions have it */
  readonly engineTimings?: OvirtTimings | undefined;
  /** A line for people: a session has begun or ended. */
  readonly onNote: (text: string, level: MessageLevel, fields: object) => void;
  /** @param place - the server of the queue, as messages show it */
  readonly onReady: (place: string) => void;
}

class FleetWorker implements AsyncDisposable {
  readonly #link: QueueLink;
  readonly #options: WorkerOptions;
  readonly #parts: TakenParts;
  readonly #pool: ChildPool;
  readonly #queues: readonly BullWorker[];
  /** Of its row in the registry. */
  readonly #token = randomUUID();
  readonly #startedAt = new Date();
  /** Names of the VMs of the sessions that run. */
  readonly #running = new Map<Promise<void>, string>();
  /** No session is taken before, by `performance.now()`. */
  #pausedUntilMs = -Infinity;
  #isVersionTold = false;
  readonly #pause = new Pause();

  constructor(link: QueueLink, options: WorkerOptions) {
    this.#link = link;
    this.#options = options;
    const { file, labels, logger, signal, engineTimings } = options;
    const { graceMs, idleMs } = link.timings;
    this.#pool = new ChildPool({ idleMs, logger });
    const workerName = `${hostname()}:${process.pid}`;
    this.#parts = { link, pool: this.#pool, file, workerName, logger, signal, engineTimings };
    this.#queues = [...new Set(labels), undefined].map((label) => {
      const connection = link.redis;
      // A worker may die before it holds the lease. The planner then removes the job.
      const lockDuration = graceMs / 2;
      const settings = { connection, prefix: PREFIX, autorun: false, lockDuration };
      // Without a function for jobs: they are taken one by one, when there is a place.
      const queue = new link.bull.Worker(queueName(label), null, settings);
      queue.on('error', (error) => link.noteError(error));
      return queue;
    });
  }

  /** Works until the signal. Sessions that run then go back to the queue. */
  async run(): Promise<void> {
    const { signal, onReady, logger } = this.#options;
    await this.#register();
    const row = setInterval(() => void this.#register(), this.#link.timings.leaseMs / 4).unref();
    const wake = (): void => this.#pause.end();
    const close = listen(this.#link, SENT_CHANNEL, wake);
    const stopped = new Promise<boolean>((resolve) => {
      signal.addEventListener('abort', () => resolve(false), { once: true });
    });
    signal.addEventListener('abort', wake);
    onReady(this.#link.place);
    try {
      while (!signal.aborted) {
        const taking = this.#take().catch((error: unknown) => {
          logger.warn({ reason: String(error) }, 'no session was taken');
          return false;
        });
        // A command waits for a server that is away. The worker may be stopped meanwhile.
        if (await Promise.race([taking, stopped])) continue;
        await this.#pause.wait(this.#link.timings.pollMs);
      }
    } finally {
      signal.removeEventListener('abort', wake);
      close();
      clearInterval(row);
      await Promise.all(this.#running.keys());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    const { redis } = this.#link;
    if (redis.status === 'ready') {
      await removeWorker(this.#link, this.#token).catch(() => {});
    }
    await Promise.all(this.#queues.map(async (queue) => await queue.close(true).catch(() => {})));
    await this.#link[Symbol.asyncDispose]();
  }

  /** @returns true when a job came from the queue */
  async #take(): Promise<boolean> {
    const isFull = this.#running.size >= this.#options.parallelVms;
    if (isFull || performance.now() < this.#pausedUntilMs) return false;
    const planner = await readPlanner(this.#link);
    if (!planner || !this.#isOfOwnVersion(planner)) return false;
    for (const queue of this.#queues) {
      const token = randomUUID();
      const job = await queue.getNextJob(token, { block: false });
      if (!job) continue;
      await this.#start(job, token, planner);
      return true;
    }
    return false;
  }

  #isOfOwnVersion({ productVersion: planner }: PlannerFacts): boolean {
    const worker = packageVersion();
    if (planner === worker) return true;
    if (!this.#isVersionTold) {
      this.#isVersionTold = true;
      this.#options.onMessage(sessionMessage('FLT-957', { planner, worker }));
    }
    return false;
  }

  async #start(job: Job, token: string, planner: PlannerFacts): Promise<void> {
    const data = fleetJobSchema.safeParse(job.data).data;
    // The planner that sent it is gone. The next one sends it again if its run continues.
    if (data?.plannerToken !== planner.token) {
      this.#options.logger.warn({ job: job.id }, 'a job of another planner was dropped');
      await leaveQueue(job, token);
      return;
    }
    const session = this.#session(new TakenSession(this.#parts, job, token, data), data)
      .catch((error: unknown) => this.#note(data, toFailure(error).message, 'error'))
      .finally(() => {
        this.#running.delete(session);
        this.#pause.end();
        void this.#register();
      });
    this.#running.set(session, data.label);
    void this.#register();
  }

  async #session(session: TakenSession, data: FleetJob): Promise<void> {
    this.#note(data, 'starts', 'info');
    const outcome = await session.run();
    const text = outcome ? textOf(outcome) : 'runs already';
    this.#note(data, text, outcome && 'failure' in outcome ? 'error' : 'info');
    if (!outcome || !('failure' in outcome) || !outcome.isUnfit) return;
    // Otherwise this worker would fail the whole queue within seconds.
    const { differsPauseMs, loginPauseMs } = this.#link.timings;
    const isRefused = outcome.failure.code === 'ENGINE_AUTH_REFUSED';
    this.#pausedUntilMs = performance.now() + (isRefused ? loginPauseMs : differsPauseMs);
  }

  #note({ jobName: job, label: vm, sessionId }: FleetJob, text: string, level: MessageLevel): void {
    this.#options.onNote(`job ${job}: session of ${vm} ${text}`, level, { job, vm, sessionId });
  }

  async #register(): Promise<void> {
    // Commands wait for a server that is away, and would become many.
    if (this.#link.redis.status !== 'ready') return;
    const { labels, parallelVms, logger } = this.#options;
    const { workerName: name } = this.#parts;
    const row: WorkerRow = {
      name,
      host: hostname(),
      pid: process.pid,
      productVersion: packageVersion(),
      labels,
      parallelVms,
      runningVms: [...this.#running.values()],
      startedAt: this.#startedAt.toISOString(),
      seenAt: new Date().toISOString(),
    };
    await writeWorker(this.#link, this.#token, row).catch((error: unknown) => {
      logger.debug({ reason: String(error) }, 'the row of the worker was not written');
    });
  }
}

function textOf(outcome: SessionOutcome): string {
  if ('report' in outcome) return `made restore point ${outcome.report.pointNumber}`;
  if ('isReturned' in outcome) return 'goes back to the queue';
  const { message, code, hint } = outcome.failure;
  return `failed: ${message} (${code})${hint && ` hint: ${hint}`}`;
}

/**
 * Takes sessions from the queue until the signal is aborted.
 *
 * @throws {@link BackupError} `USAGE_JOB_FILE`, and as {@link QueueLink.open}
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { file, signal, settings, labels } = options;
  labels.forEach(checkLabel);
  // A mistake in it is told at once, and not by the first session.
  await readJobFile(file, signal);
  await using worker = new FleetWorker(await QueueLink.open(settings, options), options);
  await worker.run();
}
