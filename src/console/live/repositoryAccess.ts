/**
 * Opens repositories for the console, with a time limit. A place that hangs must hang neither a
 * page nor, with one request after another, all threads of this process. A repository stays open
 * for a while: to open a sealed one takes most of a second.
 */
import { RepositoryError, toFailure } from '../../core/errors.ts';
import { formatDuration } from '../../core/units.ts';
import { storeOptionsOf } from '../../jobs/config/connectionSettings.ts';
import type { RepositoryConfig } from '../../jobs/jobFile.ts';
import { Repository } from '../../repository/repository.ts';

const DEFAULT_LIMIT_MS = 30_000;
const IDLE_MS = 60_000;
/** Keys may have been changed, so it is opened anew then. */
const LONGEST_OPEN_MS = 10 * 60_000;

interface Opened {
  readonly config: RepositoryConfig;
  readonly openedAtMs: number;
  readonly repository: Promise<Repository>;
  /** Ends the requests of its store. */
  readonly limit: AbortController;
  useCount: number;
  timer: NodeJS.Timeout | undefined;
}

export class RepositoryAccess implements AsyncDisposable {
  readonly #limitMs: number;
  readonly #opened = new Map<RepositoryConfig, Opened>();
  /** Requests that passed their limit and have not ended, by place. */
  readonly #stuck = new Map<string, number>();

  /** @param limitMs - time for each use. */
  constructor(limitMs: number = DEFAULT_LIMIT_MS) {
    this.#limitMs = limitMs;
  }

  /**
   * Works with an open repository.
   *
   * @throws {@link RepositoryError} `REPOSITORY_UNREACHABLE` after the time limit, and at once
   *   while an earlier request still hangs; errors of `Repository.open` and of `work`
   */
  async use<T>(config: RepositoryConfig, work: (repository: Repository) => Promise<T>): Promise<T> {
    if (this.#stuck.has(config.place)) throw silent(config, 'it still does not answer');
    const opened = this.#open(config);
    opened.useCount++;
    clearTimeout(opened.timer);
    const using = opened.repository.then(work).finally(() => this.#leave(opened));
    return await this.#within(using, opened);
  }

  /** Closes all repositories that nobody uses. */
  async [Symbol.asyncDispose](): Promise<void> {
    const idle = [...this.#opened.values()].filter(({ useCount }) => useCount === 0);
    await Promise.all(idle.map(async (opened) => await this.#close(opened)));
  }

  #open(config: RepositoryConfig): Opened {
    const known = this.#opened.get(config);
    const nowMs = performance.now();
    if (known && nowMs - known.openedAtMs < LONGEST_OPEN_MS) return known;
    const limit = new AbortController();
    const store = storeOptionsOf(config, { signal: limit.signal });
    const repository = Repository.open(config.place, store);
    const opened = { config, openedAtMs: nowMs, repository, limit, useCount: 0, timer: undefined };
    this.#opened.set(config, opened);
    repository.catch(() => this.#forget(opened));
    return opened;
  }

  #leave(opened: Opened): void {
    opened.useCount--;
    if (opened.useCount > 0) return;
    const isCurrent = this.#opened.get(opened.config) === opened;
    const idleMs = isCurrent ? IDLE_MS : 0;
    opened.timer = setTimeout(() => void this.#close(opened), idleMs).unref();
  }

  #forget(opened: Opened): void {
    if (this.#opened.get(opened.config) === opened) this.#opened.delete(opened.config);
  }

  /** Never rejects: what it held is of no use any more. */
  async #close(opened: Opened): Promise<void> {
    clearTimeout(opened.timer);
    this.#forget(opened);
    try {
      await (await opened.repository).close();
    } catch {
      // It was not open, or its place is gone.
    }
  }

  async #within<T>(using: Promise<T>, opened: Opened): Promise<T> {
    const { config, limit } = opened;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = silent(config, `no answer within ${formatDuration(this.#limitMs)}`);
        limit.abort(error);
        this.#forget(opened);
        this.#noteStuck(using, config);
        reject(error);
      }, this.#limitMs);
    });
    try {
      return await Promise.race([using, late]);
    } catch (error) {
      throw toFailure(error, limit.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  #noteStuck(using: Promise<unknown>, { place }: RepositoryConfig): void {
    this.#stuck.set(place, (this.#stuck.get(place) ?? 0) + 1);
    const free = (): void => {
      const left = (this.#stuck.get(place) ?? 1) - 1;
      if (left > 0) this.#stuck.set(place, left);
      else this.#stuck.delete(place);
    };
    using.then(free, free);
  }
}

function silent({ place }: RepositoryConfig, reason: string): RepositoryError {
  return new RepositoryError('REPOSITORY_UNREACHABLE', `${place}: ${reason}`, {
    hint: 'check the mount or the server of the repository',
  });
}
