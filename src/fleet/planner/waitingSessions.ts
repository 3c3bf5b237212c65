/** Tells why the sessions of a run wait: there is no worker for them, or none of this version. */
import { type BackupError, QueueError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { packageVersion } from '../../core/installation.ts';
import type { WorkerRow } from '../../console/contract.ts';
import type { QueueLink } from '../connection.ts';
import { readWorkers } from '../registry.ts';

export interface WaitingOptions {
  readonly link: QueueLink;
  readonly jobName: string;
  readonly label: string | undefined;
  readonly note: (message: SessionMessage) => void;
}

export class WaitingSessions {
  readonly #options: WaitingOptions;
  readonly #version = packageVersion();
  #lookedAtMs = -Infinity;
  /** Since then no worker could take a session. */
  #noneSinceMs: number | undefined;
  #workers: readonly WorkerRow[] = [];
  #isTold = false;

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  /**
   * Looks at the workers, not more often than needed.
   *
   * @returns an error when all workers have another version for a time: they never take a session.
   */
  async look(): Promise<BackupError | undefined> {
    const { link } = this.#options;
    const { noWorkerMs } = link.timings;
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs > noWorkerMs / 10) {
      this.#lookedAtMs = nowMs;
      this.#workers = (await readWorkers(link)).filter((row) => this.#isFitting(row));
    }
    if (this.#workers.some(({ productVersion }) => productVersion === this.#version)) {
      this.#noneSinceMs = undefined;
      return undefined;
    }
    this.#noneSinceMs ??= nowMs;
    if (nowMs - this.#noneSinceMs < noWorkerMs) return undefined;
    const [other] = this.#workers;
    if (other) return this.#otherVersion(other);
    this.#tellNone();
    return undefined;
  }

  /** @returns true when another worker than these could take a session of the run */
  async hasOther(names: ReadonlySet<string>): Promise<boolean> {
    const workers = (await readWorkers(this.#options.link)).filter((row) => this.#isFitting(row));
    return workers.some(
      ({ name, productVersion }) => productVersion === this.#version && !names.has(name),
    );
  }

  #isFitting({ labels }: WorkerRow): boolean {
    const { label } = this.#options;
    return label === undefined || labels.includes(label);
  }

  #otherVersion({ name, productVersion }: WorkerRow): QueueError {
    const text = `worker ${name} has version ${productVersion}, this planner ${this.#version}`;
    return new QueueError('QUEUE_VERSION_DIFFERS', text, {
      hint: 'install the same version on all machines of the fleet',
    });
  }

  #tellNone(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const { jobName: job, label, note } = this.#options;
    const who = label === undefined ? 'of any label' : `with label ${label}`;
    note(sessionMessage('FLT-951', { job, who }));
  }
}
