/** The thread that seals, as the thread of the session sees it. */
import type { Worker } from 'node:worker_threads';
import { InternalError } from '../../../core/errors.ts';
import { startThread } from '../../../core/installation.ts';
import type { SealAnswer, SealJob, SealSetup } from './sealJob.ts';

const LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 } as const;

function crash(reason: string): InternalError {
  return new InternalError('WORKER_CRASHED', `the thread that seals failed: ${reason}`);
}

export interface SealerEvents {
  /** A job is done. Jobs are done in the order in which they were sent. */
  readonly onSealed: () => void;
  /** The thread cannot go on. */
  readonly onFailure: (error: Error) => void;
}

export class ThreadSealer {
  readonly #worker: Worker;
  #isClosed = false;

  /** Errors of the system pass unchanged. */
  constructor(setup: SealSetup, { onSealed, onFailure }: SealerEvents) {
    const fail = (reason: string): void => {
      if (!this.#isClosed) onFailure(crash(reason));
    };
    this.#worker = startThread(import.meta.url, './sealThread.js', setup, LIMITS);
    this.#worker.on('message', ({ error }: SealAnswer) => {
      if (error === undefined) onSealed();
      else fail(error);
    });
    this.#worker.on('error', (error) => fail(error.message));
    this.#worker.on('exit', (code) => fail(`exit code ${code}`));
  }

  send(job: SealJob): void {
    this.#worker.postMessage(job);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker.terminate();
  }
}
