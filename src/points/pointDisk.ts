/** One disk of an opened restore point, for reading. */
import { Readable } from 'node:stream';
import { BackupError, IntegrityError, throwIfCancelled, UsageError } from '../core/errors.ts';
import { isAccessFailure } from '../core/systemErrors.ts';
import { blockCountOf, formatBytes, MIB } from '../core/units.ts';
import type { FingerprintMap } from '../flow/fingerprintMap.ts';
import type { DiskPoint } from '../repository/restorePoint.ts';
import {
  blockToFetch,
  checkComplete,
  type DiskView,
  type RestorePointView,
  type ViewBlock,
} from '../repository/restorePointView.ts';
import type { BlockCache } from './blockCache.ts';
import type { BlockLoader } from './blockLoader.ts';
import { loadAhead, readAheadOf } from './readAhead.ts';
import {
  type ByteRange,
  type PlacedBlock,
  recordedChanges,
  viewBlocks,
  withZeros,
} from './diskBlocks.ts';
import type {
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
export interface DiskParts {
  readonly view: RestorePointView;
  readonly loader: BlockLoader;
  readonly cache: BlockCache;
  /** Throws after the point was closed. */
  readonly assertOpen: () => void;
  readonly serve: (disk: PointDisk, options: ServeDiskOptions) => Promise<DiskServer>;
}

interface OpenedDisk {
  readonly view: DiskView;
  /** Undefined when the index of the point cannot be read: CRC and MD5 still check each block. */
  readonly fingerprints: FingerprintMap | undefined;
}

/**
 * A disk at a restore point. Memory stays bounded whatever its size: a few blocks of read-ahead,
 * and the cache of its repository. Every block is checked by CRC and MD5, and by the fingerprint
 * index where that can be read. A damaged block is an error, never wrong bytes.
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
    const { view, fingerprints } = await this.#open();
    let count = 0;
    for await (const item of this.#load(viewBlocks(view), signal)) {
      if (item.kind === 'zero') continue;
      count++;
      yield { offsetBytes: item.offsetBytes, bytes: item.bytes };
    }
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

  /** The whole disk as ranges of data and of zeros. Reads metadata only. */
  async *extents({ signal }: ReadOptions = {}): AsyncGenerator<PointExtent> {
    const { view } = await this.#open();
    let data: ByteRange | undefined;
    const blocks = withZeros(viewBlocks(view), view.blockSizeBytes, 0, view.sizeBytes);
    for await (const placed of blocks) {
      throwIfCancelled(signal);
      this.#parts.assertOpen();
      if (placed.kind === 'block') {
        const { index, lengthBytes } = placed.block;
        data = data
          ? { ...data, lengthBytes: data.lengthBytes + lengthBytes }
          : { offsetBytes: index * view.blockSizeBytes, lengthBytes };
        continue;
      }
      if (data) yield { ...data, zero: false };
      data = undefined;
      yield { offsetBytes: placed.offsetBytes, lengthBytes: placed.lengthBytes, zero: true };
    }
    if (data) yield { ...data, zero: false };
  }

  /**
   * Reads any range of at most 64 MiB. Blocks stay in the cache of the repository. The buffer
   * belongs to the caller.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a range beyond the disk; as {@link
   *   blocks}
   */
  async read(offsetBytes: number, lengthBytes: number, options: ReadOptions = {}): Promise<Buffer> {
    this.#checkRange(offsetBytes, lengthBytes);
    if (lengthBytes > MAX_READ_BYTES) {
      throw badRange(`${formatBytes(lengthBytes)} in one read, at most 64 MiB`);
    }
    const opened = await this.#open();
    const target = Buffer.alloc(lengthBytes);
    const { blockSizeBytes } = this;
    const endBytes = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < endBytes; ) {
      throwIfCancelled(options.signal);
      const index = Math.floor(at / blockSizeBytes);
      const blockAt = index * blockSizeBytes;
      const stopBytes = Math.min(endBytes, blockAt + blockSizeBytes);
      const bytes = await this.#cachedBlock(opened, index);
      bytes?.copy(target, at - offsetBytes, at - blockAt, stopBytes - blockAt);
      at = stopBytes;
    }
    return target;
  }

  /**
   * The bytes of the disk, zeros included, as a byte stream. Destroying it ends its reads.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a range beyond the disk
   */
  createReadStream(options: RangeOptions = {}): Readable {
    const { offsetBytes = 0 } = options;
    const { lengthBytes = this.virtualSizeBytes - offsetBytes } = options;
    this.#checkRange(offsetBytes, lengthBytes);
    const bytes = this.#bytes(offsetBytes, offsetBytes + lengthBytes, options.signal);
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
    const bytes = await this.#whileOpen(() => this.#loadBlock(opened, placed.block));
    return { kind: 'block', offsetBytes: placed.block.index * this.blockSizeBytes, bytes };
  }

  async #loadBlock({ view, fingerprints }: OpenedDisk, block: ViewBlock): Promise<Buffer> {
    const extent = await block.reader.storedExtent(block.blockId);
    return await this.#parts.loader.load(blockToFetch(view, block, extent, fingerprints));
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
   *   RepositoryError} `REPOSITORY_LOCKED` for an overlay in use; {@link OutputError} when its
   *   files cannot be made
   */
  async serveNbd(options: ServeDiskOptions): Promise<DiskServer> {
    this.#parts.assertOpen();
    return await this.#parts.serve(this, options);
  }

  /** Loads blocks into the cache, for a read that may come. Their errors come with that read. */
  prefetch(fromIndex: number, count: number): void {
    const endIndex = blockCountOf(this.virtualSizeBytes, this.blockSizeBytes);
    const load = async (index: number): Promise<void> => {
      await this.#cachedBlock(await this.#open(), index);
    };
    for (let index = fromIndex; index < Math.min(fromIndex + count, endIndex); index++) {
      load(index).catch(() => {});
    }
  }

  async #cachedBlock(opened: OpenedDisk, index: number): Promise<Buffer | undefined> {
    const { view, fingerprints } = opened;
    return await this.#whileOpen(async () => {
      const placed = await view.blockAt(index);
      if (!placed) {
        if (fingerprints && fingerprints.get(index) !== 0n) throw this.#missing(index);
        return undefined;
      }
      const { cache, view: point } = this.#parts;
      const key = `${point.point.pointId} ${this.id} ${index}`;
      const load = async (): Promise<Buffer> => await this.#loadBlock(opened, placed);
      return await cache.get(key, placed.lengthBytes, load);
    });
  }

  async #open(): Promise<OpenedDisk> {
    this.#parts.assertOpen();
    this.#opened ??= this.#compose();
    try {
      return await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  async #compose(): Promise<OpenedDisk> {
    const { view, loader } = this.#parts;
    const fingerprints = await view.newest
      .fingerprints(this.#disk, loader.codecs)
      .catch((error: unknown) => {
        if (!(error instanceof BackupError) || isAccessFailure(error)) throw error;
        return undefined;
      });
    return { view: await view.disk(this.#disk), fingerprints };
  }

  #missing(index: number): IntegrityError {
    return new IntegrityError(
      'INTEGRITY_FINGERPRINT_MISMATCH',
      `disk ${this.alias}: block ${index} is missing, but the fingerprint index has it`,
      { hint: 'run "ovirt-cbt verify"', details: { index } },
    );
  }

  #checkRange(offsetBytes: number, lengthBytes: number): void {
    const isWhole = [offsetBytes, lengthBytes].every((n) => Number.isSafeInteger(n) && n >= 0);
    if (isWhole && offsetBytes + lengthBytes <= this.virtualSizeBytes) return;
    throw badRange(
      `bytes ${offsetBytes} to ${offsetBytes + lengthBytes} of a disk of ${this.virtualSizeBytes} B`,
    );
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
