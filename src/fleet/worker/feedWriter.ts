/** Sends the events of a session to the planner, in batches. Outdated progress is dropped. */
import type { QueueLink } from '../connection.ts';
import { encodeBatch, type FeedEvent } from '../feed.ts';
import { feedKey } from '../keys.ts';

/** Batches that the server keeps for a planner that is away. */
const MOST_BATCHES = 1000;
/** Events that wait for the server. Later ones are dropped, and the report has the messages. */
const MOST_EVENTS = 1000;

export class FeedWriter {
  readonly #link: QueueLink;
  readonly #key: string;
  #events: FeedEvent[] = [];
  #timer: NodeJS.Timeout | undefined;
  #write: Promise<void> | undefined;

  constructor(link: QueueLink, sessionId: string) {
    this.#link = link;
    this.#key = feedKey(sessionId);
  }

  add(event: FeedEvent): void {
    const diskId = diskOf(event);
    if (diskId !== undefined) {
      this.#events = this.#events.filter((earlier) => diskOf(earlier) !== diskId);
    }
    if (this.#events.length < MOST_EVENTS) this.#events.push(event);
    this.#timer ??= setTimeout(() => void this.#flush(), this.#link.timings.feedMs).unref();
  }

  /** Returns when all events are on the server, as long as it can be reached. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#write;
    await this.#flush();
  }

  async #flush(): Promise<void> {
    this.#timer = undefined;
    if (this.#events.length === 0) return;
    // While the server is away, one batch waits for it, and the next one grows.
    if (this.#write) {
      this.#timer = setTimeout(() => void this.#flush(), this.#link.timings.feedMs).unref();
      return;
    }
    const batch = encodeBatch(this.#events);
    this.#events = [];
    this.#write = this.#send(batch);
    await this.#write;
    this.#write = undefined;
  }

  async #send(batch: string): Promise<void> {
    const { redis, timings } = this.#link;
    await redis
      .multi()
      .xadd(this.#key, 'MAXLEN', '~', MOST_BATCHES, '*', 'batch', batch)
      .pexpire(this.#key, timings.keepMs)
      .exec()
      .catch(() => {});
  }
}

/** The disk whose state an event replaces. */
function diskOf(event: FeedEvent): string | undefined {
  if (event.type !== 'progress' || event.event.type !== 'diskProgress') return undefined;
  return event.event.diskId;
}
