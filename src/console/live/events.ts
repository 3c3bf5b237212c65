/** Those who watch the live stream. */
import type { Logger } from '../../core/log.ts';
import type { ConsoleEvent } from '../contract.ts';

type Listener = (event: ConsoleEvent) => void;

export class ConsoleEvents {
  readonly #listeners = new Set<Listener>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** False while nobody watches, so events need not be made. */
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  subscribe(onEvent: Listener): () => void {
    // The same function may be given twice.
    const listener: Listener = (event) => onEvent(event);
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A listener that throws stops neither the others nor the session of the event. */
  publish(event: ConsoleEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#logger.warn({ reason: String(error) }, 'a listener of the console threw an error');
      }
    }
  }
}
