/** What the locks of all places share: their times, their words, and the end of a lock. */
import { hostname } from 'node:os';
import { RepositoryError } from '../core/errors.ts';
import type { ProcessIdentity } from './processIdentity.ts';
import type { StoreLock } from './store.ts';

export interface LockTimes {
  /** How often a holder renews its lock. */
  renewEveryMs: number;
  /** A lock that was not renewed for so long is taken over. */
  leaseMs: number;
}

/** Tests shorten them. */
export const LOCK_TIMES: LockTimes = { renewEveryMs: 20_000, leaseMs: 60_000 };

/** Longest lease that is believed. A forged lock must not last for ever. */
export const MAX_LEASE_MS: number = 24 * 3_600_000;

/** Files that others than the holder of the lock make: also journals of restores, and reports. */
const SHARED_NAME = /^(?:(?:lock|lease|restore)(?:\.|$)|session-)/;

/** True for a file whose writers need no lock. */
export function isShared(fileName: string): boolean {
  return SHARED_NAME.test(fileName);
}

/** Who holds a lock, as hints name it. */
export function leaseHint(holder: ProcessIdentity, leftMs: number): string {
  const where = holder.host === hostname() ? 'on this host' : `on ${holder.host}`;
  const seconds = Math.max(1, Math.ceil(leftMs / 1000));
  return `another process ${where} (pid ${holder.pid}) holds it; its lease ends in ${seconds} s unless that process renews it; wait until it has ended`;
}

/**
 * The error of a holder that was paused or cut off, and whose lock another process took.
 *
 * @param cause - names the present holder.
 */
export function lockLostError(place: string, cause: RepositoryError): RepositoryError {
  const who = cause.details['pid'] === undefined ? '' : `: ${cause.message}`;
  return new RepositoryError(
    'REPOSITORY_LOCKED',
    `this process does not hold the lock of ${place} any more${who}`,
    {
      cause,
      hint: 'it could not renew its lock in time, so another session took over, and this one stopped without a change; run the command again',
      details: cause.details,
    },
  );
}

/**
 * Runs work that a lock protects.
 *
 * @param signal - stops the work, too.
 * @param work - gets a signal for both reasons to stop.
 * @throws {@link RepositoryError} `REPOSITORY_LOCKED` when the lock was lost; what `work` throws
 */
export async function whileHeld<T>(
  lock: Pick<StoreLock, 'lost' | 'isHeld'>,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { lost } = lock;
  try {
    return await work(signal ? AbortSignal.any([signal, lost]) : lost);
  } catch (error) {
    // What another session changed may be the cause of any error.
    await lock.isHeld();
    throw lost.aborted ? lost.reason : error;
  }
}

/** Renews a lock in regular intervals, until it is stopped or lost. */
export class Renewal {
  readonly #renew: () => Promise<boolean>;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  /** @param renew - false when the lock is lost. It must not throw. */
  constructor(renew: () => Promise<boolean>, everyMs: number) {
    this.#renew = renew;
    this.#everyMs = everyMs;
    this.#start();
  }

  /** Waits for a renewal that is under way. */
  async settle(): Promise<void> {
    await this.#running;
  }

  /** No renewal starts or runs after it. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  #start(): void {
    this.#timer = setTimeout(() => {
      this.#running = this.#renew().then((isHeld) => {
        if (isHeld && this.#timer) this.#start();
      });
    }, this.#everyMs).unref();
  }
}
