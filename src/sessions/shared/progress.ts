/** Progress of sessions, as events for the caller. */
import { CancelledError, toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { DiskMode } from '../../flow/records.ts';
import type { OnWait, WaitFor } from '../../ovirt/waits.ts';
import { createWaitTexts } from './waitText.ts';

/**
 * What a session does now. Backup: preparing, freezing, reading, finalizing, committing. Restore:
 * preparing, writing or uploading, converting, creatingVm. Verify: preparing, verifying. Merges of
 * prune and synthesize: preparing, merging, committing. Copy: preparing, copying, committing.
 * `stopping` comes when a session that failed or was cancelled still removes something from the
 * engine.
 */
export type ProgressPhase =
  | 'preparing'
  | 'freezing'
  | 'reading'
  /** The engine ends its backup. */
  | 'finalizing'
  | 'committing'
  | 'writing'
  | 'uploading'
  /** To qcow2. */
  | 'converting'
  | 'creatingVm'
  | 'verifying'
  | 'merging'
  /** To another repository. */
  | 'copying'
  | 'stopping';

export type ProgressResult = 'done' | 'failed' | 'cancelled';

export interface ProgressDisk {
  readonly diskId: string;
  readonly alias: string;
  /** Only in backups. */
  readonly mode?: DiskMode | undefined;
  readonly sizeBytes: number;
  /**
   * Bytes that have to be read, sent or copied. Zeros and clean bytes that are known before do not
   * count. Absent while unknown.
   */
  readonly dataBytes?: number | undefined;
}

export interface ProgressCounts {
  /** Bytes of `dataBytes` that are done. */
  readonly doneBytes: number;
  /** Bytes read from the source: the disk, or the repository as stored. */
  readonly readBytes: number;
  /** Only in uploads: bytes that the engine has taken. */
  readonly sentBytes?: number | undefined;
}

/** The session of an event. Each VM has a session of its own. */
interface SessionFacts {
  readonly sessionId: string;
  /** As given to the session, until the VM is known. `restoreVm`: the new VM. */
  readonly vmName: string;
  /** Empty until the VM is known. */
  readonly vmId: string;
  /** Name of the process of a fleet that runs it. Absent for this process. */
  readonly worker?: string | undefined;
}

interface DiskName {
  readonly diskId: string;
  readonly alias: string;
}

type EventBody =
  | { readonly type: 'phase'; readonly phase: ProgressPhase }
  /**
   * Requests are repeated: the engine or the image server does not answer, or another operation
   * holds the VM or a disk. Once for each reason. Disks that are read may go on meanwhile.
   */
  | {
      readonly type: 'waiting';
      readonly waitsFor: WaitFor;
      /** `ECONNREFUSED`, `HTTP 503` … For `vm` the text of the engine. */
      readonly reason: string;
    }
  /** The last wait is over. */
  | { readonly type: 'resumed' }
  /** All disks that the session is going to read or write. Again when it starts anew. */
  | { readonly type: 'disksPlanned'; readonly disks: readonly ProgressDisk[] }
  | ({ readonly type: 'diskStarted' } & ProgressDisk)
  /** At most every 250 ms for each disk. */
  | ({ readonly type: 'diskProgress' } & DiskName & ProgressCounts)
  /** Exactly once for each disk that was started. */
  | ({ readonly type: 'diskEnded'; readonly result: ProgressResult } & DiskName & ProgressCounts)
  /** Only in verify, at most every 250 ms for each container, and when all blocks are checked. */
  | {
      readonly type: 'containerProgress';
      readonly fileName: string;
      readonly checkedBlocks: number;
      readonly totalBlocks: number;
    }
  /** The last event of a session. */
  | { readonly type: 'ended'; readonly result: ProgressResult };

export type ProgressEvent = EventBody & SessionFacts;

/** A disk of a restore point, for events of restores and merges. */
export function progressDisk(
  { diskId, alias, sizeBytes }: Pick<ProgressDisk, 'diskId' | 'alias' | 'sizeBytes'>,
  dataBytes: number | undefined,
): ProgressDisk {
  return { diskId, alias, sizeBytes, dataBytes };
}

export interface ProgressOptions {
  /** An error that it throws is logged. It does not stop the session. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Gets a text that says what the session waits for. */
  readonly onStatus?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const INTERVAL_MS = 250;

interface OpenDisk {
  readonly name: DiskName;
  readonly counts: () => ProgressCounts;
  lastCounts: ProgressCounts;
}

/** Sends the events of one session. One timer serves its open disks. */
export class SessionProgress {
  readonly #options: ProgressOptions;
  readonly #log: Logger;
  readonly #open = new Set<OpenDisk>();
  readonly #containerTimesMs = new Map<string, number>();
  /** Reasons of the waits that last. */
  readonly #waits = new Map<WaitFor, string>();
  readonly #tellWait: OnWait;
  #session: SessionFacts;
  #phase: ProgressPhase | undefined;
  #timer: NodeJS.Timeout | undefined;
  #hasFailed = false;
  #hasEnded = false;

  constructor(
    options: ProgressOptions,
    log: Logger,
    session: { readonly sessionId: string; readonly vmName: string },
  ) {
    this.#options = options;
    this.#log = log;
    this.#session = { ...session, vmId: '' };
    this.#tellWait = createWaitTexts(
      (text) => options.onStatus?.(text),
      () => `${this.#session.vmName} `,
    );
  }

  /** For the engine client of the session. */
  readonly onWait: OnWait = (waitsFor, reason) => {
    if (reason === this.#waits.get(waitsFor) || this.#hasEnded) return;
    if (reason === undefined) {
      this.#waits.delete(waitsFor);
      if (this.#waits.size === 0) this.#emit({ type: 'resumed' });
      return;
    }
    this.#waits.set(waitsFor, reason);
    this.#tellWait(waitsFor, reason);
    this.#emit({ type: 'waiting', waitsFor, reason });
  };

  /** Names the VM as it is called now. */
  nameVm(vm: { readonly id: string; readonly name: string }): void {
    this.#session = { ...this.#session, vmName: vm.name, vmId: vm.id };
  }

  /** A phase that lasts is told once. */
  phase(phase: ProgressPhase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#emit({ type: 'phase', phase });
  }

  planDisks(disks: readonly ProgressDisk[]): void {
    this.#hasFailed = false;
    this.#emit({ type: 'disksPlanned', disks });
  }

  /** Tells start, progress and end of one disk while `work` reads or writes it. */
  async disk<T>(
    disk: ProgressDisk,
    counts: () => ProgressCounts,
    work: () => Promise<T>,
  ): Promise<T> {
    const { diskId, alias } = disk;
    const open = { name: { diskId, alias }, counts, lastCounts: counts() };
    this.#emit({ type: 'diskStarted', ...disk });
    this.#open.add(open);
    this.#timer ??= setInterval(() => this.#tick(), INTERVAL_MS).unref();
    let result: ProgressResult = 'done';
    try {
      return await work();
    } catch (error) {
      result = this.#diskResultOf(error);
      throw error;
    } finally {
      this.#open.delete(open);
      if (this.#open.size === 0) this.#stopTimer();
      this.#emit({ type: 'diskEnded', ...open.name, ...counts(), result });
    }
  }

  containerChecked(fileName: string, checkedBlocks: number, totalBlocks: number): void {
    const nowMs = performance.now();
    const lastMs = this.#containerTimesMs.get(fileName) ?? -Infinity;
    if (checkedBlocks < totalBlocks && nowMs - lastMs < INTERVAL_MS) return;
    this.#containerTimesMs.set(fileName, nowMs);
    this.#emit({ type: 'containerProgress', fileName, checkedBlocks, totalBlocks });
  }

  /** Tells the end of the session after `work`. */
  async session<T>(work: () => Promise<T>): Promise<T> {
    try {
      const value = await work();
      this.end('done');
      return value;
    } catch (error) {
      this.end(this.resultOf(error));
      throw error;
    }
  }

  /** Tells the end of the session, once. */
  end(result: ProgressResult): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stopTimer();
    this.#emit({ type: 'ended', result });
  }

  resultOf(error: unknown): ProgressResult {
    return toFailure(error, this.#options.signal) instanceof CancelledError
      ? 'cancelled'
      : 'failed';
  }

  /** The first disk that fails stops the others. */
  #diskResultOf(error: unknown): ProgressResult {
    if (this.#hasFailed) return 'cancelled';
    const result = this.resultOf(error);
    this.#hasFailed = result === 'failed';
    return result;
  }

  #tick(): void {
    for (const disk of this.#open) {
      const counts = disk.counts();
      const { doneBytes, readBytes, sentBytes } = disk.lastCounts;
      const isSame =
        counts.doneBytes === doneBytes &&
        counts.readBytes === readBytes &&
        counts.sentBytes === sentBytes;
      if (isSame) continue;
      disk.lastCounts = counts;
      this.#emit({ type: 'diskProgress', ...disk.name, ...counts });
    }
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #emit(body: EventBody): void {
    try {
      this.#options.onProgress?.({ ...body, ...this.#session });
    } catch (error) {
      this.#log.warn({ reason: String(error) }, 'onProgress threw an error');
    }
  }
}
