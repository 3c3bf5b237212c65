/**
 * Last stage of a backup. It appends the blocks of one disk to an open container. It also keeps the
 * map and the fingerprints of the disk. Several sinks may share one writer.
 */
import { Writable } from 'node:stream';
import { assertNever } from '../../core/errors.ts';
import { type BusyClock, clockOf, type StageStats } from '../../core/stats.ts';
import type { DiskTask, PackedBlock, SinkBlock } from '../../flow/records.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import type { Sink } from '../../flow/connect.ts';
import { FileMap, PatchList } from './blockMaps.ts';
import { BlockTally } from './blockTally.ts';
import type { ContainerWriter } from './containerWriter.ts';

/**
 * Result of the chain of one disk. Byte counts are plain bytes of the disk unless the name says
 * stored.
 */
export interface DiskContent {
  readonly task: DiskTask;
  /** A map for a full image; patch records for an increment. */
  readonly blocks: FileMap | PatchList;
  /** Fingerprints of the whole disk at this point. */
  readonly fingerprints: FingerprintMap;
  readonly counts: DiskCounts;
  /** Where on the disk the blocks lie. */
  readonly tally: BlockTally;
}

export interface DiskCounts {
  newBlocks: number;
  duplicateBlocks: number;
  zeroBytes: number;
  unchangedBytes: number;
  /** Plain bytes of the blocks that were recorded as data. */
  changedBytes: number;
  /** Bytes of their stored form, without padding to the cluster. */
  storedBytes: number;
}

export interface ContainerSinkOptions {
  readonly task: DiskTask;
  readonly writer: ContainerWriter;
  /** True when the disk becomes an increment on its parent. */
  readonly isIncrement: boolean;
  /**
   * The parent's fingerprints, cut to the size of this disk; empty for a full. The sink changes
   * them.
   */
  readonly fingerprints: FingerprintMap;
  /** Counts the blocks taken, and the time that writes of this disk were under way. */
  readonly stats: StageStats;
}

export class ContainerSink extends Writable {
  readonly content: DiskContent;
  readonly #writer: ContainerWriter;
  readonly #clock: BusyClock;
  readonly #stats: StageStats;

  constructor(options: ContainerSinkOptions) {
    super({ objectMode: true, highWaterMark: 1 });
    this.#writer = options.writer;
    this.#stats = options.stats;
    this.#clock = clockOf(options.stats);
    this.content = {
      task: options.task,
      blocks: options.isIncrement ? new PatchList() : new FileMap(),
      fingerprints: options.fingerprints,
      counts: {
        newBlocks: 0,
        duplicateBlocks: 0,
        zeroBytes: 0,
        unchangedBytes: 0,
        changedBytes: 0,
        storedBytes: 0,
      },
      tally: new BlockTally(options.task),
    };
  }

  override _write(block: SinkBlock, _encoding: BufferEncoding, done: (e?: Error) => void): void {
    const failure = this.#writer.failure;
    if (!failure) this.#take(block);
    done(failure);
  }

  /**
   * Ends when every byte appended so far is handed to the operating system. The slots are free
   * then.
   */
  override _final(done: (error?: Error | null) => void): void {
    this.#writer.drain().then(() => done(), done);
  }

  /** Writes in flight still use slots. So closing waits for them, also after a failure. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const settled = (): void => done(error);
    this.#writer.drain().then(settled, settled);
  }

  #take(block: SinkBlock): void {
    const { blocks, fingerprints, counts, tally } = this.content;
    switch (block.kind) {
      case 'packed':
        this.#store(block);
        return;
      case 'zero':
        blocks.setZero(block.index, block.blockCount);
        fingerprints.clear(block.index, block.index + block.blockCount);
        counts.zeroBytes += block.lengthBytes;
        tally.addZeros(block.index, block.blockCount);
        return;
      case 'unchanged':
        counts.unchangedBytes += block.lengthBytes;
        return;
      default:
        assertNever(block);
    }
  }

  #store(block: PackedBlock): void {
    const { blocks, fingerprints, counts, tally } = this.content;
    const startedAtMs = this.#clock.start();
    const onWritten = (): void => this.#clock.stop(startedAtMs);
    const { blockId, isNew } = this.#writer.append(block, onWritten);
    this.#stats.blocks++;
    this.#stats.bytes += block.storedBytes;
    blocks.set(block.index, blockId);
    fingerprints.set(block.index, block.fingerprint);
    counts.changedBytes += block.lengthBytes;
    tally.addData(block.index, block.lengthBytes);
    if (isNew) {
      counts.newBlocks++;
      counts.storedBytes += block.storedBytes;
    } else {
      counts.duplicateBlocks++;
    }
  }
}

/** Makes the sink of one disk. It releases every slot that it gets. */
export function createContainerSink(
  options: ContainerSinkOptions,
): ContainerSink & Sink<SinkBlock> {
  return new ContainerSink(options);
}
