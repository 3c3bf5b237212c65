/** One disk of an opened backup or image, which can be piped once. */
import { Stream, type Writable } from 'node:stream';
import { throwIfCancelled, toFailure, UsageError } from '../../core/errors.ts';
import { dataBytesOf } from '../../flow/blockPlan.ts';
import type { StageLike } from '../../flow/connect.ts';
import type { DiskMode } from '../../flow/records.ts';
import {
  type BlockSink,
  endWritable,
  type SinkRecord,
  UserSink,
  type UserSinkOptions,
  writableSink,
} from '../../flow/sinks/blockSink.ts';
import { createFilterCounts, type FilterCounts } from '../../flow/stages/dirtyZeroFilter.ts';
import {
  type ComparedRecord,
  connectDisk,
  type DiskChainInput,
  type DiskChainParts,
  packStage,
} from '../shared/diskChain.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import { createDiskStages, type DiskStages } from '../shared/report.ts';

export interface PipeOptions {
  /** `lz4`: blocks come as raw LZ4 blocks where that makes them smaller. @defaultValue none */
  readonly compress?: 'none' | 'lz4' | undefined;
  /** Stops this disk. The other disks go on. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each record of the sink. */
  readonly onProgress?: ((progress: PipeProgress) => void) | undefined;
}

/** A sink, and how it wants its blocks. */
export type DiskSink = BlockSink & PipeOptions;

export interface WritableOptions extends PipeOptions {
  /** Whether the Writable is ended after the last record. @defaultValue true */
  readonly end?: boolean | undefined;
}

export interface PipeProgress {
  readonly diskId: string;
  /** Bytes that have to be read. Zeros and clean bytes that are known before do not count. */
  readonly dataBytes: number;
  /** Bytes of `dataBytes` that were read. */
  readonly readBytes: number;
}

/** Result of a pipe. */
export interface PipeReport {
  readonly diskId: string;
  readonly alias: string;
  readonly mode: DiskMode;
  readonly reason: string;
  readonly virtualSizeBytes: number;
  readonly readBytes: number;
  /** Bytes of the disk that the sink got as blocks, before compression. */
  readonly blockBytes: number;
  readonly zeroBytes: number;
  readonly wallSeconds: number;
}

/** How a disk is read. `incremental` and `compare` give changes only; `full` gives all of it. */
export interface DiskSummary {
  readonly id: string;
  readonly alias: string;
  readonly virtualSizeBytes: number;
  readonly mode: DiskMode;
  /** Reason for the mode, in words. */
  readonly reason: string;
}

/** What a disk needs of the backup that it belongs to. */
export interface DiskOwner {
  readonly resources: PipelineResources;
  readonly debugOwnership: boolean;
  /** Aborted when the backup is closed or cancelled. */
  readonly signal: AbortSignal;
  /** Throws when the backup was finished or closed. */
  readonly assertOpen: () => void;
  /** Opens the source of the disk. */
  open(): Promise<DiskChainInput>;
  /** Ends the source after its last byte. */
  done(): Promise<void>;
}

const ignore = (): void => {};

type PipeState = 'new' | 'piping' | 'done' | 'failed';

export class OpenDisk implements DiskSummary {
  readonly id: string;
  readonly alias: string;
  readonly virtualSizeBytes: number;
  readonly mode: DiskMode;
  readonly reason: string;
  readonly #owner: DiskOwner;
  #state: PipeState = 'new';
  #work: Promise<unknown> = Promise.resolve();

  constructor(summary: DiskSummary, owner: DiskOwner) {
    this.id = summary.id;
    this.alias = summary.alias;
    this.virtualSizeBytes = summary.virtualSizeBytes;
    this.mode = summary.mode;
    this.reason = summary.reason;
    this.#owner = owner;
  }

  /** Whether the sink has got the whole disk. */
  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** Ends with the pipe that runs. Never rejects. */
  async settle(): Promise<void> {
    await this.#work.catch(() => {});
  }

  /**
   * Reads the disk and passes it on, one record at a time, by ascending offset. A slow sink slows
   * the reads down. A disk can be piped once. A sink must not wait for another disk.
   *
   * @param sink - an object with `block` and `zero`, or a Writable in object mode that takes
   *   `PipedRecord`s. A Writable is ended after the last record, and destroyed after a failure.
   * @throws what the sink throws, as it is; {@link UsageError} `USAGE_WRONG_STATE`; errors of the
   *   source; `CANCELLED` after an abort. After a failure the disk is lost for this backup.
   */
  async pipe(sink: DiskSink): Promise<PipeReport>;
  async pipe(sink: Writable, options?: WritableOptions): Promise<PipeReport>;
  async pipe(sink: DiskSink | Writable, options?: WritableOptions): Promise<PipeReport> {
    this.#owner.assertOpen();
    if (this.#state !== 'new') throw alreadyPiped(this.alias, this.#state);
    if (!isWritable(sink) && !isBlockSink(sink)) throw notASink();
    if (isWritable(sink) && !sink.writableObjectMode) throw notObjectMode();
    checkCompress(isWritable(sink) ? options?.compress : sink.compress);
    this.#state = 'piping';
    const work = isWritable(sink)
      ? this.#pipeToWritable(sink, options ?? {})
      : this.#pipe(sink, sink, {});
    this.#work = work;
    try {
      const report = await work;
      this.#state = 'done';
      return report;
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  async #pipeToWritable(writable: Writable, options: WritableOptions): Promise<PipeReport> {
    const ends = options.end ?? true;
    const finish = ends ? async (): Promise<void> => await endWritable(writable) : undefined;
    const given = { writable, finish };
    // Each failed write rejects. Without a listener the event would end the process as well.
    writable.on('error', ignore);
    try {
      return await this.#pipe(writableSink(writable), options, given);
    } catch (error) {
      if (ends) writable.destroy(error as Error);
      throw error;
    } finally {
      if (!writable.destroyed) writable.off('error', ignore);
    }
  }

  async #pipe(
    sink: BlockSink,
    options: PipeOptions,
    given: Pick<UserSinkOptions, 'finish' | 'writable'>,
  ): Promise<PipeReport> {
    const { resources, debugOwnership } = this.#owner;
    const signals = options.signal ? [options.signal] : [];
    const signal = AbortSignal.any([this.#owner.signal, ...signals]);
    const startedAtMs = performance.now();
    const counters = new PipeCounters();
    const lease = resources.slab.lease('pack');
    const { stages, counts } = counters;
    const onRecord = (record: SinkRecord): void => {
      counters.add(record);
      const { dataBytes } = counters;
      options.onProgress?.({ diskId: this.id, dataBytes, readBytes: stages.read.bytes });
    };
    const userSink = new UserSink({ ...given, sink, lease, onRecord, debugOwnership });
    try {
      throwIfCancelled(signal);
      const input = await this.#owner.open();
      if (options.onProgress) counters.dataBytes = await dataBytesIn(input, signal);
      const parts: DiskChainParts = { resources, lease, stages, counts, signal };
      await connectDisk(input, parts, lastStage(options, parts), userSink);
      await this.#owner.done();
    } catch (error) {
      if (userSink.failure) throw userSink.failure.error;
      throw toFailure(error, signal);
    } finally {
      userSink.destroy();
      lease.end();
    }
    return this.#report(counters, performance.now() - startedAtMs);
  }

  #report(counters: PipeCounters, wallMs: number): PipeReport {
    const { id: diskId, alias, mode, reason, virtualSizeBytes } = this;
    const { blockBytes, zeroBytes, stages } = counters;
    return {
      diskId,
      alias,
      mode,
      reason,
      virtualSizeBytes,
      readBytes: stages.read.bytes,
      blockBytes,
      zeroBytes,
      wallSeconds: wallMs / 1000,
    };
  }
}

async function dataBytesIn({ task, device }: DiskChainInput, signal: AbortSignal): Promise<number> {
  const extents = device.extents(task.mode === 'incremental' ? 'dirty' : 'zero', signal);
  return await dataBytesOf(task, extents);
}

/** Counts of one pipe. */
class PipeCounters {
  readonly stages: DiskStages = createDiskStages();
  readonly counts: FilterCounts = createFilterCounts();
  dataBytes = 0;
  blockBytes = 0;
  zeroBytes = 0;

  add({ kind, lengthBytes }: SinkRecord): void {
    if (kind === 'zero') this.zeroBytes += lengthBytes;
    else if (kind !== 'unchanged') this.blockBytes += lengthBytes;
  }
}

function lastStage(
  { compress = 'none' }: PipeOptions,
  parts: DiskChainParts,
): StageLike<ComparedRecord, SinkRecord> {
  return compress === 'lz4' ? packStage(parts) : (record: ComparedRecord) => record;
}

function isWritable(sink: DiskSink | Writable): sink is Writable {
  return sink instanceof Stream;
}

/** Callers in JavaScript may give anything. */
function isBlockSink(sink: Partial<DiskSink> | undefined | null): boolean {
  return typeof sink?.block === 'function' && typeof sink.zero === 'function';
}

function checkCompress(compress: string | undefined): void {
  if (compress === undefined || compress === 'none' || compress === 'lz4') return;
  throw new UsageError('USAGE_INVALID_OPTION', `compress: "${compress}" does not exist`, {
    hint: 'use none or lz4',
  });
}

function notASink(): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', 'the sink has no functions block and zero', {
    hint: 'give an object with block and zero, or a Writable in object mode',
  });
}

function alreadyPiped(alias: string, state: PipeState): UsageError {
  const text = state === 'piping' ? 'is being piped' : 'was piped already';
  return new UsageError('USAGE_WRONG_STATE', `disk ${alias} ${text}`, {
    hint: 'pipe each disk once; one sink can pass its records on to several others',
  });
}

function notObjectMode(): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', 'the sink is a Writable of bytes', {
    hint: 'give a Writable in object mode, or an object with block and zero',
  });
}
