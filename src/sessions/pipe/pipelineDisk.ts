/** The stages of one disk in a pipeline that a program puts together itself. */
import { UsageError } from '../../core/errors.ts';
import type { StageStats } from '../../core/stats.ts';
import {
  type AnyStage,
  type Checked,
  type ConnectOptions,
  type LastOf,
  runChain,
  type Sink,
  type Source,
  type Stage,
  type StageFunction,
} from '../../flow/connect.ts';
import type { ParentDisk } from '../../flow/fingerprintMap.ts';
import type {
  BlockDevice,
  CandidateRun,
  DataBlock,
  DiskTask,
  HashedBlock,
  PlannedRun,
  SinkBlock,
  UnchangedRun,
  WantedBlock,
  ZeroRun,
} from '../../flow/records.ts';
import type { SlabLease } from '../../flow/slab.ts';
import { createBlockReader } from '../../flow/stages/blockReader.ts';
import { createChangeFinder } from '../../flow/stages/changeFinder.ts';
import { createCompressor } from '../../flow/stages/compressor.ts';
import {
  createCandidateFilter,
  createDirtyZeroFilter,
  createFilterCounts,
  type FilterCounts,
} from '../../flow/stages/dirtyZeroFilter.ts';
import { createExtentSource } from '../../flow/stages/extentSource.ts';
import { createFileReader, type FileRecord } from '../../flow/stages/fileReader.ts';
import { createHashComparer } from '../../flow/stages/hashComparer.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';
import type { ComparedRecord } from '../shared/diskChain.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import { createDiskStages } from '../shared/report.ts';

export interface RetryOptions {
  /** Tries per block for retryable errors; short reads are among them. @defaultValue 3 */
  readonly attempts?: number | undefined;
  /** Pause before the second try. Each further one is twice as long. @defaultValue 200 */
  readonly retryDelayMs?: number | undefined;
}

export interface ReaderOptions extends RetryOptions {
  /** Most reads at once. @defaultValue 4 */
  readonly readers?: number | undefined;
}

/** Counters of the stages of one disk. They may be read at any time. */
export interface PipelineStats {
  readonly extents: StageStats;
  readonly read: StageStats;
  readonly hash: StageStats;
  readonly compress: StageStats;
}

export interface PipelineDiskParts {
  readonly device: BlockDevice;
  readonly parent: ParentDisk | undefined;
  readonly resources: PipelineResources;
  /** Called when the chain has ended. */
  readonly onEnd: () => void;
}

/**
 * Makes the stages of one disk, and runs them once. Each method makes a new stage of this disk's
 * chain.
 */
export class PipelineDisk {
  readonly task: DiskTask;
  readonly stats: PipelineStats = createDiskStages();
  /** Bytes that the filter has seen, by state. */
  readonly counts: FilterCounts = createFilterCounts();
  readonly #parts: PipelineDiskParts;
  readonly #lease: SlabLease<'pack'>;
  #work: Promise<void> | undefined;

  /** @internal */
  constructor(task: DiskTask, parts: PipelineDiskParts) {
    this.task = task;
    this.#parts = parts;
    this.#lease = parts.resources.slab.lease('pack');
  }

  /** Drops what did not change, keeps known zeros, cuts data into blocks. No byte is read. */
  filter(): StageFunction<PlannedRun, WantedBlock | ZeroRun> {
    return createDirtyZeroFilter(this.task, this.counts);
  }

  /** Reads blocks from the device. A block of zeros becomes a zero run. */
  reader(options: ReaderOptions = {}): Stage<WantedBlock | ZeroRun, DataBlock | ZeroRun> {
    return createBlockReader({ ...this.#reading(), ...options });
  }

  /** Computes the fingerprints. With a parent, its blocks become unchanged runs. */
  comparer(): Stage<DataBlock | HashedBlock | ZeroRun | UnchangedRun, ComparedRecord> {
    const { parent, resources } = this.#parts;
    return createHashComparer({
      task: this.task,
      pool: resources.pool,
      stats: this.stats.hash,
      parent,
    });
  }

  /** Compresses with LZ4 where that makes a block smaller. */
  compressor(): Stage<ComparedRecord, SinkBlock> {
    const { pool } = this.#parts.resources;
    return createCompressor({ pool, lease: this.#lease, stats: this.stats.compress });
  }

  /**
   * Instead of {@link reader}, for a device with a `fileDescriptor`: threads read the file and
   * compute the fingerprints.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for another device
   */
  fileReader(options: RetryOptions = {}): Stage<WantedBlock | ZeroRun | UnchangedRun, FileRecord> {
    return createFileReader({ ...this.#reading(), ...this.#fileReads(), ...options });
  }

  /** Instead of {@link filter}, before {@link changeFinder}. */
  candidateFilter(): StageFunction<PlannedRun, CandidateRun | ZeroRun> {
    return createCandidateFilter(this.task, this.counts);
  }

  /**
   * Before {@link fileReader}: finds the blocks that differ from the parent. The others are never
   * copied.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` without a parent, or for a device without a
   *   `fileDescriptor`
   */
  changeFinder(): Stage<CandidateRun | ZeroRun, WantedBlock | ZeroRun | UnchangedRun> {
    const { parent } = this.#parts;
    if (!parent) throw lacks('a parent', this.task);
    const reading = this.#reading();
    return createChangeFinder({ ...reading, ...this.#fileReads(), parent });
  }

  /**
   * Runs the chain: the extents of the device, the stages, the sink. Their order is checked as that
   * of `connect`.
   *
   * @throws as `connect`; {@link UsageError} `USAGE_WRONG_STATE` at the second call
   */
  async connect<const Stages extends readonly AnyStage[]>(
    stages: readonly [...Stages] & Checked<PlannedRun, Stages>,
    sink: Sink<LastOf<Source<PlannedRun>, Stages>>,
    options: ConnectOptions = {},
  ): Promise<void> {
    if (this.#work) throw connectedAlready(this.task);
    this.#work = this.#run(stages, sink, options);
    await this.#work;
  }

  /**
   * Waits for the chain, and gives back the memory of a disk that was never connected. Never
   * rejects.
   *
   * @internal
   */
  async settle(): Promise<void> {
    if (this.#work) await this.#work.catch(() => {});
    else this.#lease.end();
  }

  async #run(
    stages: readonly AnyStage[],
    sink: Sink<never>,
    options: ConnectOptions,
  ): Promise<void> {
    const { device, resources } = this.#parts;
    const given = options.signal ? [options.signal] : [];
    const signal = AbortSignal.any([resources.signal, ...given]);
    const source = createExtentSource({ task: this.task, device, stats: this.stats.extents });
    try {
      await runChain(source, stages, sink, { signal });
    } finally {
      this.#lease.end();
      this.#parts.onEnd();
    }
  }

  #reading(): Pick<PipelineDiskParts, 'device'> & {
    readonly task: DiskTask;
    readonly lease: SlabLease<'pack'>;
    readonly stats: StageStats;
  } {
    const { device } = this.#parts;
    return { task: this.task, device, lease: this.#lease, stats: this.stats.read };
  }

  #fileReads(): { readonly fileDescriptor: number; readonly fileReadPool: WorkerPool } {
    const { device, resources } = this.#parts;
    const { fileDescriptor } = device;
    if (fileDescriptor === undefined) throw lacks('a file descriptor', this.task);
    return { fileDescriptor, fileReadPool: resources.fileReadPool ?? resources.pool };
  }
}

function lacks(part: string, { alias }: DiskTask): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `disk ${alias} has not got ${part}`, {
    hint: 'changeFinder needs both a parent and a file; fileReader needs a file',
  });
}

function connectedAlready({ alias }: DiskTask): UsageError {
  return new UsageError('USAGE_WRONG_STATE', `disk ${alias} was connected already`, {
    hint: 'begin another chain with pipeline.disk',
  });
}
