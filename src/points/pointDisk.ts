/** One disk of an opened restore point, for reading. */
import { Readable } from 'node:stream';
import { throwIfCancelled, UsageError } from '../core/errors.ts';
import { blockCountOf, formatBytes, MIB } from '../core/units.ts';
import type { DiskPoint } from '../repository/restorePoint.ts';
import { checkComplete } from '../repository/restorePointView.ts';
import type { HeldBlock } from './blockCache.ts';
import { type BlockParts, OpenedDisk } from './openedDisk.ts';
import { loadAhead, readAheadOf } from './readAhead.ts';
import {
  extentsOf,
  type PlacedBlock,
  recordedChanges,
  viewBlocks,
  withZeros,
} from './diskBlocks.ts';
import type {
  ByteRange,
  ChangedBlock,
  DiskServer,
  PointBlock,
  PointExtent,
  RangeOptions,
  ReadOptions,
  ServeDiskOptions,
} from './pointTypes.ts';

/** Most bytes of one `read`. */
const MAX_READ_BYTES = 64 * MIB;
/** Zeros in a byte stream come in pieces of this size. */
const ZERO_PIECE_BYTES = MIB;

/** Parts that the disks of a point share. */
export interface DiskParts extends BlockParts {
  /** Throws after the point was closed. */
  readonly assertOpen: () => void;
  readonly serve: (disk: PointDisk, options: ServeDiskOptions) => Promise<DiskServer>;
}

/**
 * A disk at a restore point. Memory stays bounded whatever its size: a few blocks of read-ahead,
 * and the cache of its repository. Every block is checked by its CRC and by the fingerprint index,
 * or by CRC and MD5 where that index does not tell. A damaged block is an error, never wrong bytes.
 */
export class PointDisk {
  readonly id: string;
  readonly alias: string;
  readonly virtualSizeBytes: number;
  readonly blockSizeBytes: number;
  readonly #disk: DiskPoint;
  readonly #parts: DiskParts;
  #opened: Promise<OpenedDisk> | undefined;

  constructor(disk: DiskPoint, parts: DiskParts) {
    this.id = disk.diskId;
    this.alias = disk.alias;
    this.virtualSizeBytes = disk.sizeBytes;
    this.blockSizeBytes = parts.view.point.blockSizeBytes;
    this.#disk = disk;
    this.#parts = parts;
  }

  /**
   * The blocks that are not zeros, by ascending offset. The last block of a disk may be short.
   *
   * @throws {@link IntegrityError} for a damaged block, or one that is missing; `CANCELLED` after
   *   an abort
   */
  async *blocks({ signal }: ReadOptions = {}): AsyncGenerator<PointBlock> {
    const opened = await this.#open();
    const { view } = opened;
    let count = 0;
    for await (const item of this.#load(viewBlocks(view), signal)) {
      if (item.kind === 'zero') continue;
      count++;
      yield { offsetBytes: item.offsetBytes, bytes: item.bytes };
    }
    const fingerprints = await opened.fingerprints();
    if (fingerprints) checkComplete(view, fingerprints, count);
  }

  /**
   * Changes against the parent point, by ascending offset. Applied to the disk at the parent point
   * they give the disk at this point. For a full they are the whole disk.
   *
   * @throws as {@link blocks}
   */
  async *changedBlocks({ signal }: ReadOptions = {}): AsyncGenerator<ChangedBlock> {
    const { view } = await this.#open();
    const changes =
      this.#disk.content === 'increment'
        ? recordedChanges(this.#parts.view.newest, this.#disk)
        : withZeros(viewBlocks(view), view.blockSizeBytes, 0, view.sizeBytes);
    yield* this.#load(changes, signal);
  }

  /**
   * The disk, or a range of it, as ranges of data and of zeros. Reads metadata only.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a range beyond the disk
   */
  async *extents(options: RangeOptions = {}): AsyncGenerator<PointExtent> {
    const { offsetBytes, endBytes } = this.#range(options);
    if (offsetBytes === endBytes) return;
    const opened = await this.#open();
    const { blockSizeBytes } = this;
    const fromIndex = Math.floor(offsetBytes / blockSizeBytes);
    const blocks = opened.placed(fromIndex, blockCountOf(endBytes, blockSizeBytes));
    const placed = withZeros(blocks, blockSizeBytes, fromIndex * blockSizeBytes, endBytes);
    for await (const extent of extentsOf(placed, blockSizeBytes, offsetBytes, endBytes)) {
      throwIfCancelled(options.signal);
      this.#parts.assertOpen();
      yield extent;
    }
  }

  /**
   * Reads any range of at most 64 MiB. Blocks stay in the cache of the repository. The buffer
   * belongs to the caller.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a range beyond the disk; as {@link
   *   blocks}
   */
  async read(offsetBytes: number, lengthBytes: number, options: ReadOptions = {}): Promise<Buffer> {
    if (lengthBytes > MAX_READ_BYTES) {
      throw badRange(`${formatBytes(lengthBytes)} in one read, at most 64 MiB`);
    }
    const copy = async (pieces: readonly Buffer[]): Promise<Buffer> =>
      Buffer.concat(pieces, lengthBytes);
    return await this.withPieces({ offsetBytes, lengthBytes }, copy, options);
  }

  /**
   * Reads a range without a copy. `use` gets its pieces, one after the other. They share memory
   * with the cache: nobody may change them, and they are valid until `use` has settled.
   */
  async withPieces<T>(
    range: ByteRange,
    use: (pieces: readonly Buffer[]) => Promise<T>,
    { signal }: ReadOptions = {},
  ): Promise<T> {
    const { offsetBytes, endBytes } = this.#range(range);
    const opened = await this.#open();
    const { blockSizeBytes } = this;
    const pieces: Buffer[] = [];
    const held: HeldBlock[] = [];
    try {
      for (let at = offsetBytes; at < endBytes; ) {
        throwIfCancelled(signal);
        const index = Math.floor(at / blockSizeBytes);
        const blockAt = index * blockSizeBytes;
        const stopBytes = Math.min(endBytes, blockAt + blockSizeBytes);
        const block = await this.#whileOpen(() => opened.hold(index));
        if (block) {
          held.push(block);
          pieces.push(block.bytes.subarray(at - blockAt, stopBytes - blockAt));
        } else pieces.push(...zeroPieces(stopBytes - at));
        at = stopBytes;
      }
      return await use(pieces);
    } finally {
      for (const block of held) block.release();
    }
  }

  /**
   * The bytes of the disk, zeros included, as a byte stream. Destroying it ends its reads.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a range beyond the disk
   */
  createReadStream(options: RangeOptions = {}): Readable {
    const { offsetBytes, endBytes } = this.#range(options);
    const bytes = this.#bytes(offsetBytes, endBytes, options.signal);
    return Readable.from(bytes, { objectMode: false, highWaterMark: MIB });
  }

  async *#bytes(
    fromBytes: number,
    endBytes: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Buffer> {
    const { view } = await this.#open();
    const fromIndex = Math.floor(fromBytes / view.blockSizeBytes);
    const firstBytes = fromIndex * view.blockSizeBytes;
    const blocks = viewBlocks(view, fromIndex);
    const placed = withZeros(blocks, view.blockSizeBytes, firstBytes, endBytes);
    for await (const item of this.#load(placed, signal)) {
      const skipBytes = Math.max(0, fromBytes - item.offsetBytes);
      if (item.kind === 'zero') {
        yield* zeroPieces(item.lengthBytes - skipBytes);
        continue;
      }
      const lengthBytes = Math.min(item.bytes.length, endBytes - item.offsetBytes);
      if (skipBytes < lengthBytes) yield item.bytes.subarray(skipBytes, lengthBytes);
    }
  }

  /** Loads blocks ahead of the reader and gives them in order. */
  async *#load(
    source: AsyncIterable<PlacedBlock>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ChangedBlock> {
    const opened = await this.#open();
    const load = async (placed: PlacedBlock): Promise<ChangedBlock> =>
      await this.#loadOne(opened, placed);
    for await (const loaded of loadAhead(source, load, readAheadOf(this.blockSizeBytes))) {
      throwIfCancelled(signal);
      yield loaded;
    }
  }

  async #loadOne(opened: OpenedDisk, placed: PlacedBlock): Promise<ChangedBlock> {
    if (placed.kind === 'zero') return placed;
    const bytes = Buffer.allocUnsafeSlow(placed.block.lengthBytes);
    await this.#whileOpen(() => opened.load(placed.block, () => bytes));
    return { kind: 'block', offsetBytes: placed.block.index * this.blockSizeBytes, bytes };
  }

  /** Files that are closed under a read give errors of their own. The cause is the close. */
  async #whileOpen<T>(work: () => Promise<T>): Promise<T> {
    this.#parts.assertOpen();
    try {
      return await work();
    } catch (error) {
      this.#parts.assertOpen();
      throw error;
    }
  }

  /**
   * Serves the disk over NBD until the server or the point is closed.
   *
   * @throws {@link UsageError} for an address, a folder or certificates that cannot be used; {@link
   *   RepositoryError} `REPOSITORY_LOCKED` for an overlay in use, `CHAIN_CHANGED` when the point
   *   was pruned or merged after it was opened; {@link OutputError} when files of an overlay cannot
   *   be made
   */
  async serveNbd(options: ServeDiskOptions): Promise<DiskServer> {
    this.#parts.assertOpen();
    return await this.#parts.serve(this, options);
  }

  /**
   * Loads blocks into the cache, for a read that may come. Their errors come with that read. The
   * range may end beyond the disk.
   */
  prefetch({ offsetBytes, lengthBytes }: ByteRange): void {
    const endBytes = Math.min(offsetBytes + lengthBytes, this.virtualSizeBytes);
    const load = async (index: number): Promise<void> => {
      const block = await (await this.#open()).hold(index);
      block?.release();
    };
    const endIndex = blockCountOf(endBytes, this.blockSizeBytes);
    for (let index = Math.floor(offsetBytes / this.blockSizeBytes); index < endIndex; index++) {
      load(index).catch(() => {});
    }
  }

  /** Bytes of the cache that keeps blocks. */
  get cacheBytes(): number {
    return this.#parts.cache.maxBytes;
  }

  async #open(): Promise<OpenedDisk> {
    this.#parts.assertOpen();
    this.#opened ??= OpenedDisk.open(this.#disk, this.#parts);
    try {
      return await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  /** Start and end of a range. Without one, of the disk. */
  #range(options: RangeOptions): { readonly offsetBytes: number; readonly endBytes: number } {
    const { offsetBytes = 0 } = options;
    const { lengthBytes = this.virtualSizeBytes - offsetBytes } = options;
    const isWhole = [offsetBytes, lengthBytes].every((n) => Number.isSafeInteger(n) && n >= 0);
    const endBytes = offsetBytes + lengthBytes;
    if (isWhole && endBytes <= this.virtualSizeBytes) return { offsetBytes, endBytes };
    throw badRange(`bytes ${offsetBytes} to ${endBytes} of a disk of ${this.virtualSizeBytes} B`);
  }
}

function badRange(text: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', text, { hint: 'read inside the disk' });
}

function* zeroPieces(lengthBytes: number): Generator<Buffer> {
  for (let left = lengthBytes; left > 0; left -= ZERO_PIECE_BYTES) {
    yield Buffer.alloc(Math.min(left, ZERO_PIECE_BYTES));
  }
}
