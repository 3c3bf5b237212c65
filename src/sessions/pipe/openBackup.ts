/** An opened backup or image: its disks can be piped, then it is finished or closed. */
import { CancelledError, toFailure, UsageError } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { DiskChainInput } from '../shared/diskChain.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import { type DiskSummary, OpenDisk } from './openDisk.ts';

/** Where the disks come from. */
export interface BackupSource {
  readonly vmId: string;
  readonly vmName: string;
  readonly disks: readonly DiskSummary[];
  /** Messages so far; more are added while disks are piped. */
  readonly messages: readonly SessionMessage[];
  /** Opens a disk for reading. */
  open(diskId: string, resources: PipelineResources): Promise<DiskChainInput>;
  /** Ends the reads of a disk that was read whole. */
  done(diskId: string): Promise<void>;
  /** Ends the source after all disks were read. @returns the base of the next call, or '' */
  finish(): Promise<string>;
  /** Ends the requests under way. */
  stop(): void;
  /** Gives the VM back after a failure or a cancel. Never throws. */
  abandon(): Promise<void>;
  /** Closes connections and files. */
  release(): Promise<void>;
}

export interface FinishReport {
  /** Give it as `since` to the next call. Empty when there is no checkpoint to build on. */
  readonly checkpointId: string;
  readonly messages: readonly SessionMessage[];
}

export interface OpenBackupOptions {
  readonly resources: PipelineResources;
  readonly signal?: AbortSignal | undefined;
  readonly debugOwnership?: boolean | undefined;
}

type BackupState = 'open' | 'finishing' | 'finished' | 'failed' | 'closed';

/**
 * A VM that is frozen for a backup, or an image. {@link finish} ends it. {@link close} without it
 * cancels: the VM is given back, and the backup leaves no checkpoint.
 */
export class OpenBackup {
  readonly vmId: string;
  readonly vmName: string;
  readonly disks: readonly OpenDisk[];
  readonly #source: BackupSource;
  readonly #resources: PipelineResources;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #state: BackupState = 'open';
  #finishing: Promise<string> | undefined;
  #closing: Promise<void> | undefined;

  constructor(source: BackupSource, options: OpenBackupOptions) {
    const { resources, signal, debugOwnership = false } = options;
    this.vmId = source.vmId;
    this.vmName = source.vmName;
    this.#source = source;
    this.#resources = resources;
    const stops = [this.#stop.signal, ...(signal ? [signal] : [])];
    this.#signal = AbortSignal.any(stops);
    const shared = {
      resources,
      debugOwnership,
      signal: this.#signal,
      assertOpen: () => this.#assertOpen(),
    };
    this.disks = source.disks.map(
      (disk) =>
        new OpenDisk(disk, {
          ...shared,
          open: () => source.open(disk.id, resources),
          done: () => source.done(disk.id),
        }),
    );
  }

  /** Messages of this backup so far, such as the reason why a disk is read whole. */
  get messages(): readonly SessionMessage[] {
    return this.#source.messages;
  }

  /**
   * Ends the backup of the engine. Every disk must have been piped to its end, because the next
   * call would miss the changes of any other disk. Select disks with `disks` or `excludeDisks`.
   *
   * @returns the checkpoint that the next call builds on.
   * @throws {@link UsageError} `USAGE_WRONG_STATE`; errors of the engine; `CANCELLED` after an
   *   abort or {@link close}. `close` is still due after it.
   */
  async finish(): Promise<FinishReport> {
    this.#assertOpen();
    const left = this.disks.filter((disk) => !disk.isDone).map((disk) => disk.alias);
    if (left.length > 0) throw notPiped(left);
    this.#state = 'finishing';
    this.#finishing = this.#source.finish();
    try {
      const checkpointId = await this.#finishing;
      this.#state = 'finished';
      return { checkpointId, messages: this.messages };
    } catch (error) {
      this.#state = 'failed';
      throw toFailure(error, this.#signal);
    }
  }

  /**
   * Gives everything back. Without {@link finish} before it, running pipes end with `CANCELLED`,
   * and the VM is given back on a clock of its own. May be called twice.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const isFinished = this.#state === 'finished';
    this.#state = 'closed';
    this.#stop.abort(new CancelledError('CANCELLED', `the backup of ${this.vmName} was closed`));
    if (!isFinished) this.#source.stop();
    try {
      await Promise.all(this.disks.map((disk) => disk.settle()));
      // A finish under way still writes to the folder of the VM. It may succeed.
      if (!(await this.#hasFinished())) await this.#source.abandon();
      await this.#source.release();
    } finally {
      await this.#resources[Symbol.asyncDispose]();
    }
  }

  /** Waits for a finish under way. */
  async #hasFinished(): Promise<boolean> {
    if (!this.#finishing) return false;
    const [end] = await Promise.allSettled([this.#finishing]);
    return end.status === 'fulfilled';
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    throw new UsageError('USAGE_WRONG_STATE', `the backup of ${this.vmName} is ${this.#state}`, {
      hint: 'open it again; a finished or closed backup cannot be read',
    });
  }
}

function notPiped(aliases: readonly string[]): UsageError {
  return new UsageError('USAGE_WRONG_STATE', `not piped to the end: ${aliases.join(', ')}`, {
    hint: 'pipe every disk before finish; leave disks out with disks or excludeDisks',
  });
}
