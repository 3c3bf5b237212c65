/** Runs the sessions of one run by the workers of a fleet. */
import type { Queue } from 'bullmq';
import { packageVersion } from '../../core/installation.ts';
import type { RunnerRequest } from '../../jobs/run/runners.ts';
import type { RunnableVm, RunnerCall, VmRunner } from '../../sessions/backup/vmRunner.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import type { QueueLink } from '../connection.ts';
import type { FeedEvent } from '../feed.ts';
import type { FleetJob } from '../jobData.ts';
import { jobDigests } from '../jobDigests.ts';
import { feedKey, PROTOCOL, sessionId, stateKey } from '../keys.ts';
import { Pause } from '../news.ts';
import type { PlannerLease } from './plannerLease.ts';
import { removeAbandoned } from './abandonedJobs.ts';
import { SentSession } from './sentSession.ts';
import { WaitingSessions } from './waitingSessions.ts';

export interface QueueRunnerParts {
  readonly link: QueueLink;
  readonly planner: PlannerLease;
  readonly queue: Queue;
  /** Gets the pauses of the sessions that are sent, by their ids. */
  readonly pauses: Map<string, Pause>;
}

export class QueueRunner implements VmRunner, AsyncDisposable {
  readonly #parts: QueueRunnerParts;
  readonly #request: RunnerRequest;
  readonly #waiting: WaitingSessions;
  readonly #data: Omit<FleetJob, 'send' | 'sessionId' | 'label' | 'vmId'>;
  /** Sessions whose results were read. */
  readonly #done = new Set<string>();

  constructor(parts: QueueRunnerParts, request: RunnerRequest, label: string | undefined) {
    this.#parts = parts;
    this.#request = request;
    const { job, parts: own, note } = request;
    this.#waiting = new WaitingSessions({ link: parts.link, jobName: job.name, label, note });
    const { bytesPerSecond, parallelVms } = job.limits;
    this.#data = {
      protocol: PROTOCOL,
      productVersion: packageVersion(),
      plannerToken: parts.planner.token,
      jobName: job.name,
      repositoryId: own.repository.id,
      digests: jobDigests(job),
      // Workers know nothing of each other. Equal shares keep the limit.
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond: bytesPerSecond / parallelVms }),
    };
  }

  async backup(vm: RunnableVm, { signal, attempt }: RunnerCall): Promise<SessionReport> {
    const { runId, job } = this.#request;
    const { label, vmId } = vm;
    const id = sessionId({ runId, label, vmId, attempt });
    const { link, queue, planner, pauses } = this.#parts;
    const pause = new Pause();
    pauses.set(id, pause);
    const session = new SentSession(
      {
        link,
        queue,
        pause,
        priority: job.priority,
        assertPlanner: () => planner.assertHeld(),
        onWaiting: async () => await this.#waiting.look(),
        hasOtherWorker: async (names) => await this.#waiting.hasOther(names),
        tell: (event) => this.#tell(event),
        note: this.#request.note,
        data: { ...this.#data, sessionId: id, label, vmId },
        windowEndMs: async () => await this.#windowEndMs(),
        mayStart: () => this.#leftMs() > 0,
      },
      vm,
      signal,
    );
    try {
      return await session.run();
    } finally {
      pauses.delete(id);
      if (session.isSettled) this.#done.add(id);
    }
  }

  /** Removes what the server keeps of the sessions that are done. Others may still be adopted. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { link, queue } = this.#parts;
    const { redis } = link;
    if (redis.status !== 'ready') return;
    await removeAbandoned(queue).catch((error: unknown) => link.noteError(error));
    const keys = [...this.#done].flatMap((id) => [stateKey(id), feedKey(id)]);
    if (keys.length > 0) await redis.unlink(keys).catch(() => {});
  }

  #leftMs(): number {
    return this.#request.sessions.mostWaitMs?.() ?? Infinity;
  }

  /** Clocks of machines differ, so all of them use that of the server. */
  async #windowEndMs(): Promise<number | undefined> {
    const leftMs = this.#leftMs();
    if (leftMs === Infinity) return undefined;
    return (await this.#parts.link.serverTimeMs()) + leftMs;
  }

  #tell(event: FeedEvent): void {
    const { onProgress, onMessage, onStatus } = this.#request.sessions;
    if (event.type === 'progress') onProgress?.(event.event);
    else if (event.type === 'message') onMessage?.(event.message);
    else onStatus?.(event.text);
  }
}
