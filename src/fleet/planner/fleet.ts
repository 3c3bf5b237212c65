/** The planner's side of a fleet: sessions of its runs go to workers over a queue. */
import type { Queue } from 'bullmq';
import type { WorkerRow } from '../../console/contract.ts';
import type { OpenRunner } from '../../jobs/run/runners.ts';
import { type LinkOptions, QueueLink, type QueueSettings } from '../connection.ts';
import { checkLabel, ENDED_CHANNEL, PREFIX, QUEUE_NAME, queueName, QUEUES_KEY } from '../keys.ts';
import { listen, type Pause } from '../news.ts';
import { removeAbandoned } from './abandonedJobs.ts';
import { PlannerLease } from './plannerLease.ts';
import { QueueRunner } from './queueRunner.ts';
import { readWorkers } from '../registry.ts';

export interface Fleet extends AsyncDisposable {
  /** The server of the queue, as messages show it. */
  readonly place: string;
  /** Opens runners whose sessions are done by workers. */
  readonly openRunner: OpenRunner;
  /** @throws {@link QueueError} `QUEUE_UNREACHABLE` while the server is away */
  workers(): Promise<readonly WorkerRow[]>;
}

/** The library keeps events of its own that nobody reads here. */
const MOST_LIBRARY_EVENTS = 100;

class QueueFleet implements Fleet {
  readonly #link: QueueLink;
  readonly #planner: PlannerLease;
  readonly #queues = new Map<string, Queue>();
  /** Of the sessions that were sent, by their ids. Their ends come with news. */
  readonly #pauses = new Map<string, Pause>();
  readonly #closeNews: () => void;

  constructor(link: QueueLink, planner: PlannerLease) {
    this.#link = link;
    this.#planner = planner;
    this.#closeNews = listen(link, ENDED_CHANNEL, (id) => this.#pauses.get(id)?.end());
  }

  get place(): string {
    return this.#link.place;
  }

  readonly openRunner: OpenRunner = async (request) => {
    this.#planner.assertHeld();
    const { workerLabel } = request.job;
    const label = workerLabel === undefined ? undefined : checkLabel(workerLabel);
    const name = queueName(label);
    await this.#link.redis.sadd(QUEUES_KEY, name);
    const queue = this.#queue(name);
    await queue.waitUntilReady();
    const parts = { link: this.#link, planner: this.#planner, queue, pauses: this.#pauses };
    return new QueueRunner(parts, request, label);
  };

  async workers(): Promise<readonly WorkerRow[]> {
    // A console must not wait for a server that is away.
    this.#link.assertConnected();
    return await readWorkers(this.#link);
  }

  /** Removes what a planner before this one has left waiting. Runs that continue send it again. */
  async drain(): Promise<void> {
    const names = await this.#link.redis.smembers(QUEUES_KEY);
    for (const name of names.filter((one) => QUEUE_NAME.test(one))) {
      const queue = this.#queue(name);
      await queue.drain(true);
      await removeAbandoned(queue);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closeNews();
    await this.#planner[Symbol.asyncDispose]();
    await this.#link[Symbol.asyncDispose]();
  }

  #queue(name: string): Queue {
    const known = this.#queues.get(name);
    if (known) return known;
    const queue = new this.#link.bull.Queue(name, {
      connection: this.#link.redis,
      prefix: PREFIX,
      streams: { events: { maxLen: MOST_LIBRARY_EVENTS } },
    });
    queue.on('error', (error) => this.#link.noteError(error));
    this.#queues.set(name, queue);
    return queue;
  }
}

/**
 * Connects as the planner of the queue.
 *
 * @throws as {@link QueueLink.open}; {@link QueueError} `QUEUE_PLANNER_RUNNING`
 */
export async function openFleet(settings: QueueSettings, options: LinkOptions): Promise<Fleet> {
  const link = await QueueLink.open(settings, options);
  try {
    const fleet = new QueueFleet(link, await PlannerLease.take(link, options.signal));
    await fleet.drain();
    return fleet;
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
}
