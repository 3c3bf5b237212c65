/** A composed disk of a restore point, and how its blocks are loaded and checked. */
import { BackupError, IntegrityError } from '../core/errors.ts';
import { isAccessFailure } from '../core/systemErrors.ts';
import { blockLengthAt } from '../core/units.ts';
import type { FingerprintMap } from '../flow/fingerprintMap.ts';
import type { FingerprintIndex } from '../repository/fingerprintStore.ts';
import type { DiskPoint } from '../repository/restorePoint.ts';
import {
  blockToFetch,
  type DiskView,
  type RestorePointView,
  type ViewBlock,
} from '../repository/restorePointView.ts';
import type { BlockCache, HeldBlock, TakeRoom } from './blockCache.ts';
import type { BlockLoader } from './blockLoader.ts';
import type { DiskBlock, PlacedBlock } from './diskBlocks.ts';
import type { PlaceCache } from './placeCache.ts';

/** The source of a disk's blocks. Other disks share the caches. */
export interface BlockParts {
  readonly view: RestorePointView;
  readonly loader: BlockLoader;
  readonly cache: BlockCache;
  readonly places: PlaceCache;
}

export class OpenedDisk {
  readonly view: DiskView;
  readonly #parts: BlockParts;
  /** Names disk and point in the cache of blocks. */
  readonly #key: string;
  /** Undefined when it cannot be read: CRC and MD5 still check each block. */
  readonly #fingerprints: FingerprintIndex | undefined;

  private constructor(
    view: DiskView,
    parts: BlockParts,
    fingerprints: FingerprintIndex | undefined,
  ) {
    this.view = view;
    this.#parts = parts;
    this.#key = `${parts.view.point.pointId} ${view.disk.diskId}`;
    this.#fingerprints = fingerprints;
  }

  static async open(disk: DiskPoint, parts: BlockParts): Promise<OpenedDisk> {
    const { view, loader } = parts;
    const fingerprints = await unlessDamaged(() =>
      view.newest.fingerprintIndex(disk, loader.codecs),
    );
    return new OpenedDisk(await view.disk(disk), parts, fingerprints);
  }

  /** The whole index; undefined when it cannot be read. */
  async fingerprints(): Promise<FingerprintMap | undefined> {
    const index = this.#fingerprints;
    return index && (await unlessDamaged(() => index.all()));
  }

  /**
   * Blocks `[from, to)` that are not zeros, ascending. A block that the index has and no container
   * holds is one of them: a read of it must fail, so nobody may take it for zeros. Places stay in
   * memory.
   */
  async *placed(from: number, to: number): AsyncGenerator<PlacedBlock<DiskBlock>> {
    let next = from;
    for await (const block of this.#parts.places.in(this.view, from, to)) {
      if (next < block.index) yield* this.#missingIn(next, block.index);
      yield { kind: 'block', block };
      next = block.index + 1;
    }
    yield* this.#missingIn(next, to);
  }

  /** Blocks `[from, to)` of the index. Parts of it that are damaged tell nothing. */
  async *#missingIn(from: number, to: number): AsyncGenerator<PlacedBlock<DiskBlock>> {
    const { sizeBytes, blockSizeBytes } = this.view;
    const known = this.#fingerprints;
    if (!known) return;
    for (let at = from; at < to; at = known.pieceEnd(at)) {
      const end = Math.min(to, known.pieceEnd(at));
      for (const index of (await unlessDamaged(() => known.nonZeroIn(at, end))) ?? []) {
        const lengthBytes = blockLengthAt(index, sizeBytes, blockSizeBytes);
        yield { kind: 'block', block: { index, lengthBytes } };
      }
    }
  }

  /**
   * A block from the cache, which the caller releases; undefined for zeros.
   *
   * @throws {@link IntegrityError} when the index has a block that no container holds
   */
  async hold(index: number): Promise<HeldBlock | undefined> {
    const { cache, places } = this.#parts;
    const block = await places.at(this.view, index);
    if (!block) {
      if (await this.#fingerprintOf(index)) throw this.#missing(index);
      return undefined;
    }
    const load = (takeRoom: TakeRoom): Promise<void> => this.load(block, takeRoom);
    return await cache.hold(`${this.#key} ${index}`, this.view.blockSizeBytes, load);
  }

  /** Writes the checked bytes of a block into the room. */
  async load(block: ViewBlock, takeRoom: TakeRoom): Promise<void> {
    const extent = await block.reader.storedExtent(block.blockId);
    const fingerprint = await this.#fingerprintOf(block.index);
    const wanted = blockToFetch(this.view, block, extent, undefined);
    await this.#parts.loader.load({ ...wanted, fingerprint }, takeRoom);
  }

  /** 0n for zeros; undefined when its part of the index is damaged. */
  async #fingerprintOf(index: number): Promise<bigint | undefined> {
    const known = this.#fingerprints;
    return known && (await unlessDamaged(() => known.get(index)));
  }

  #missing(index: number): IntegrityError {
    return new IntegrityError(
      'INTEGRITY_FINGERPRINT_MISMATCH',
      `disk ${this.view.disk.alias}: block ${index} is missing, but the fingerprint index has it`,
      { hint: 'run "ovirt-cbt verify"', details: { index } },
    );
  }
}

/** Undefined for a part of the index that is damaged. */
async function unlessDamaged<T>(read: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof BackupError) || isAccessFailure(error)) throw error;
    return undefined;
  }
}
