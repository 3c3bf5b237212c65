/**
 * Wakes processes of a fleet up when a session was sent or has ended. News may be lost: without
 * them everything is found with the next look.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueLink } from './connection.ts';

/**
 * Calls `onNews` with each text that is published. The first call has no text: what came before is
 * no news.
 *
 * @returns ends it
 */
export function listen(
  link: QueueLink,
  channel: string,
  onNews: (text: string) => void,
): () => void {
  // A connection that listens can do nothing else.
  const client = link.redis.duplicate();
  client.on('error', (error) => link.noteError(error));
  client.on('message', (_channel, text) => onNews(text));
  client.subscribe(channel).then(
    () => onNews(''),
    (error: unknown) => link.noteError(error),
  );
  return () => client.disconnect();
}

/** A pause that something may end, also when it came shortly before. */
export class Pause {
  #isOver = false;
  #end: () => void = () => {};

  /** Ends the present pause, or the next one at once. */
  end(): void {
    this.#isOver = true;
    this.#end();
  }

  /** Returns after this time, or earlier. Never throws. */
  async wait(durationMs: number, signal?: AbortSignal): Promise<void> {
    const own = new AbortController();
    this.#end = () => own.abort();
    const either = signal ? AbortSignal.any([signal, own.signal]) : own.signal;
    if (!this.#isOver) await sleep(durationMs, undefined, { signal: either }).catch(() => {});
    this.#isOver = false;
  }
}
