/** Blocks of a damaged disk: those that its own chain still has, and those of another point. */
import { setImmediate } from 'node:timers/promises';
import type { BackupError } from '../../core/errors.ts';
import { blockCountOf, blockLengthAt } from '../../core/units.ts';
import type { ContainerReader } from '../../container/read/containerReader.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import type { DiskPoint } from '../restorePoint.ts';
import type { ViewBlock } from '../restorePointView.ts';
import { type DamageReason, HoleMap, type HoleRange } from './holeMap.ts';
import { isLostBytes, type SalvagedDisk } from './salvageView.ts';

/** Blocks of a disk to restore. */
export interface BlockSupply {
  readonly disk: DiskPoint;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  /**
   * Blocks that are not zero, by ascending index.
   *
   * @param fingerprints - index of the restored point; undefined when it cannot be read.
   */
  blocks(fingerprints: FingerprintMap | undefined): AsyncGenerator<ViewBlock>;
  /**
   * Called for each damaged block, which is then left out. It throws an error that must end the
   * restore. Without it, every damaged block ends the restore.
   */
  onDamage?(index: number, reader: ContainerReader, error: unknown): void;
}

/** Stands for a block that the fingerprint index knows and no file of the chain names. */
const NOT_NAMED: DamageReason = {
  code: 'INTEGRITY_FINGERPRINT_MISMATCH',
  message: 'the fingerprint index names the block, the block map does not',
};

/**
 * The blocks that the readable files of a chain still have. Other blocks go into {@link holes}.
 *
 * With the fingerprint index, a block of a file that is lost is known to be missing. Without the
 * index, a disk whose map is not complete cannot be restored.
 */
export class SurvivingBlocks implements BlockSupply {
  readonly holes: HoleMap = new HoleMap();
  /**
   * Why the disk cannot be restored: the index and a map of the chain cannot be read. The chain of
   * streams ends without an error then, because an error would stop the other disks.
   */
  failure: BackupError | undefined;
  readonly #view: SalvagedDisk;

  constructor(view: SalvagedDisk) {
    this.#view = view;
  }

  get disk(): DiskPoint {
    return this.#view.disk;
  }

  get sizeBytes(): number {
    return this.#view.sizeBytes;
  }

  get blockSizeBytes(): number {
    return this.#view.blockSizeBytes;
  }

  async *blocks(fingerprints: FingerprintMap | undefined): AsyncGenerator<ViewBlock> {
    if (fingerprints) {
      yield* this.#expected(fingerprints);
      return;
    }
    if (!this.#view.lossAfter()) yield* this.#view.blocks();
    this.failure = this.#view.lossAfter();
  }

  onDamage(index: number, reader: ContainerReader, error: unknown): void {
    if (!isLostBytes(error)) throw error;
    // A sound block with another fingerprint is too old when a newer file of the chain is lost.
    const loss =
      error.code === 'INTEGRITY_FINGERPRINT_MISMATCH' ? this.#view.lossAfter(reader) : undefined;
    this.holes.add(index, loss ?? error);
  }

  async *#expected(fingerprints: FingerprintMap): AsyncGenerator<ViewBlock> {
    const end = blockCountOf(this.sizeBytes, this.blockSizeBytes);
    const expected = fingerprints.nonZeroIn(0, end);
    let next = expected.next();
    for await (const block of this.#view.blocks()) {
      for (; !next.done && next.value < block.index; next = expected.next()) {
        this.#addMissing(next.value);
      }
      if (!next.done && next.value === block.index) next = expected.next();
      // A newer file, which is lost, made the block zero.
      else if (this.#view.lossAfter(block.reader)) continue;
      yield block;
    }
    for (; !next.done; next = expected.next()) this.#addMissing(next.value);
  }

  #addMissing(index: number): void {
    this.holes.add(index, this.#view.lossAfter() ?? NOT_NAMED);
  }
}

const PAUSE_BLOCKS = 256;

/**
 * Blocks of another point at the places of `damaged`. A place for which that point has no right
 * block goes into {@link holes}.
 */
export class DonatedBlocks implements BlockSupply {
  readonly holes: HoleMap = new HoleMap();
  readonly disk: DiskPoint;
  readonly blockSizeBytes: number;
  readonly #donor: SalvagedDisk;
  readonly #damaged: HoleMap;
  readonly #signal: AbortSignal;

  /**
   * @param disk - the disk to restore.
   * @param donor - the same disk at the other point. Both points have blocks of one size.
   * @param signal - ends the search for blocks.
   */
  constructor(disk: DiskPoint, donor: SalvagedDisk, damaged: HoleMap, signal: AbortSignal) {
    this.disk = disk;
    this.blockSizeBytes = donor.blockSizeBytes;
    this.#donor = donor;
    this.#damaged = damaged;
    this.#signal = signal;
  }

  get sizeBytes(): number {
    return this.disk.sizeBytes;
  }

  async *blocks(): AsyncGenerator<ViewBlock> {
    for (const range of this.#damaged.ranges) {
      for (let index = range.first; index < range.end; index++) {
        // Many blocks in a row may have no donor, and their maps may be in memory. Without a pause
        // nothing else would run.
        if (index % PAUSE_BLOCKS === 0) await setImmediate(undefined, { signal: this.#signal });
        const block = await this.#blockAt(index);
        if (block) yield block;
        else this.holes.add(index, range);
      }
    }
  }

  onDamage(index: number, _reader: ContainerReader, error: unknown): void {
    const range = this.#damaged.at(index);
    if (!isLostBytes(error) || !range) throw error;
    this.holes.add(index, range);
  }

  async #blockAt(index: number): Promise<ViewBlock | undefined> {
    try {
      const block = await this.#donor.blockAt(index);
      const lengthBytes = blockLengthAt(index, this.sizeBytes, this.blockSizeBytes);
      return block?.lengthBytes === lengthBytes ? block : undefined;
    } catch (error) {
      if (!isLostBytes(error)) throw error;
      return undefined;
    }
  }
}

/** Damaged bytes of a disk that a restore left as zeros. */
export interface DiskHole {
  readonly diskId: string;
  readonly alias: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Code of an error, see docs/errors.md. */
  readonly code: string;
  /** Message of one of the damaged blocks. */
  readonly reason: string;
}

/** The byte ranges of damaged blocks. */
export function holesOf(
  { diskId, alias, sizeBytes }: DiskPoint,
  blockSizeBytes: number,
  ranges: readonly HoleRange[],
): DiskHole[] {
  return ranges.map(({ first, end, code, message }) => {
    const offsetBytes = first * blockSizeBytes;
    const lengthBytes = Math.min(end * blockSizeBytes, sizeBytes) - offsetBytes;
    return { diskId, alias, offsetBytes, lengthBytes, code, reason: message };
  });
}
