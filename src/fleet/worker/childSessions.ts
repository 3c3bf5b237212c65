/**
 * Sessions of one process, one after another. Login and repository stay open for the next session
 * of the same job.
 */
import { type BlockCodecs, createBlockCodecs } from '../../compute/blockCodecs.ts';
import { QueueError, toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { retry } from '../../core/retry.ts';
import { engineSettings, storeOptionsOf } from '../../jobs/config/connectionSettings.ts';
import { readJobFile } from '../../jobs/config/readJobFile.ts';
import type { JobConfig } from '../../jobs/jobFile.ts';
import { sessionOptionsOf } from '../../jobs/run/runJob.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { Repository } from '../../repository/repository.ts';
import {
  checkSessionOptions,
  createVmRunner,
  loginForSessions,
  type VmSessionOptions,
} from '../../sessions/backup/vmRunner.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import type { FeedEvent } from '../feed.ts';
import { differingKeys, jobDigests } from '../jobDigests.ts';
import type { ChildTask } from './childMessages.ts';

const LOCK_PAUSE_MS = 1000;
const LONGEST_LOCK_PAUSE_MS = 10_000;

export interface ChildContext {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly tell: (event: FeedEvent) => void;
}

/** What stays open between two sessions of a job. */
interface OpenJob {
  /** The job with all its values. Another text means that the job file has changed. */
  readonly key: string;
  readonly engine: EngineApi;
  readonly repository: Repository;
}

export class ChildSessions {
  #codecs: BlockCodecs | undefined;
  #open: OpenJob | undefined;
  /** End of the window of the session that runs, by `performance.now()`. */
  #windowEndMs = Infinity;
  #hasBegun = false;

  /** False for a session that failed because this machine lacks something that it needs. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** @throws {@link BackupError} as a session of this process does; `QUEUE_JOB_DIFFERS` */
  async run(task: ChildTask, context: ChildContext): Promise<SessionReport> {
    try {
      return await this.#run(task, context);
    } catch (error) {
      // A login may have ended, and a new one is cheap.
      await this.close();
      throw toFailure(error, context.signal);
    }
  }

  /** Ends the login and closes the repository. Never throws. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.engine[Symbol.asyncDispose]().catch(() => {});
    await open?.repository.close().catch(() => {});
  }

  async #run(task: ChildTask, context: ChildContext): Promise<SessionReport> {
    const { signal } = context;
    this.#hasBegun = false;
    this.#windowEndMs = performance.now() + (task.windowLeftMs ?? Infinity);
    const job = await readJob(task, signal);
    const sessions = this.#sessionOptions(task, job, context);
    this.#codecs ??= await createBlockCodecs();
    const codecs = this.#codecs;
    checkSessionOptions(sessions, codecs);
    const { engine, repository } = await this.#openJob(task, job, sessions);
    this.#hasBegun = true;
    await waitForChain(repository, task, context);
    const runner = createVmRunner({ engine, repository, codecs }, sessions);
    // A name may belong to another VM by now.
    const vm = { label: task.vmId || task.label, vmId: task.vmId };
    return await runner.backup(vm, { signal, attempt: 1 });
  }

  #sessionOptions(task: ChildTask, job: JobConfig, context: ChildContext): VmSessionOptions {
    const { signal, logger, tell } = context;
    return {
      ...sessionOptionsOf({
        job,
        signal,
        logger,
        onMessage: (message) => tell({ type: 'message', message }),
        onProgress: (event) => tell({ type: 'progress', event: named(event, task) }),
        onStatus: (text) => tell({ type: 'status', text }),
      }),
      bytesPerSecond: task.bytesPerSecond,
      mostWaitMs: () => this.#windowEndMs - performance.now(),
    };
  }

  async #openJob(task: ChildTask, job: JobConfig, sessions: VmSessionOptions): Promise<OpenJob> {
    const key = JSON.stringify(job);
    if (this.#open?.key === key) return this.#open;
    await this.close();
    const { signal, onStatus } = sessions;
    const store = storeOptionsOf(job.repository, { signal, onWait: onStatus });
    const repository = await Repository.open(job.repository.place, store);
    try {
      if (repository.id !== task.repositoryId) throw jobDiffers(job.name, ['repository']);
      const settings = await engineSettings(job.engine, task.engineTimings, signal);
      const engine = await loginForSessions(settings, sessions);
      this.#open = { key, engine, repository };
      return this.#open;
    } catch (error) {
      await repository.close();
      throw error;
    }
  }
}

/** The first events of a session name the VM as it was asked for, which is its id here. */
function named(event: ProgressEvent, { label }: ChildTask): ProgressEvent {
  return event.vmId === '' ? { ...event, vmName: label } : event;
}

function jobDiffers(job: string, keys: readonly string[]): QueueError {
  const text = `the job file of the worker differs from that of the planner, in job ${job}: ${keys.join(', ')}`;
  return new QueueError('QUEUE_JOB_DIFFERS', text, {
    hint: 'give all machines of the fleet the same job file; a worker reads it for each session',
    details: { job },
  });
}

async function readJob(task: ChildTask, signal: AbortSignal): Promise<JobConfig> {
  const file = await readJobFile(task.file, signal);
  const job = file.jobs.get(task.jobName);
  if (!job) throw jobDiffers(task.jobName, ['the job itself']);
  const keys = differingKeys(task.digests, jobDigests(job));
  if (keys.length > 0) throw jobDiffers(job.name, keys);
  return job;
}

/**
 * Waits until nobody holds the lock of the VM's chain. A worker that was lost may still end its
 * session, and the lock of one that was killed lasts until its lease ends.
 */
async function waitForChain(
  repository: Repository,
  { vmId, label, lockPatienceMs }: ChildTask,
  { signal, tell }: ChildContext,
): Promise<void> {
  const folder = vmId === '' ? undefined : await repository.vmById(vmId);
  if (!folder) return;
  const options = {
    windowMs: lockPatienceMs,
    firstDelayMs: LOCK_PAUSE_MS,
    maxDelayMs: LONGEST_LOCK_PAUSE_MS,
    shouldRetry: (error: unknown) => toFailure(error).code === 'REPOSITORY_LOCKED',
    onRetry: () =>
      tell({ type: 'status', text: `${label} waits for another session that holds its chain` }),
    signal,
  };
  await retry(options, async () => {
    await using _ = await folder.place.lock();
  });
}
