/** One disk of an opened restore point, for reading. */
import { Readable } from 'node:stream';
import { BackupError, IntegrityError, throwIfCancelled, UsageError } from '../core/errors.ts';
import { isAccessFailure } from '../core/systemErrors.ts';
import { blockCountOf, formatBytes, MIB } from '../core/units.ts';
import type { FingerprintIndex } from '../repository/fingerprintStore.ts';
import type { DiskPoint } from '../repository/restorePoint.ts';
import {
  blockToFetch,
  checkComplete,
  type DiskView,
  type RestorePointView,
  type ViewBlock,
} from '../repository/restorePointView.ts';
import type { BlockCache, HeldBlock } from './blockCache.ts';
import type { BlockLoader } from './blockLoader.ts';
import type { PlaceCache } from './placeCache.ts';
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
export interface DiskParts {
  readonly view: RestorePointView;
  readonly loader: BlockLoader;
  readonly cache: BlockCache;
  readonly places: PlaceCache;
  /** Throws after the point was closed. */
  readonly assertOpen: () => void;
  readonly serve: (disk: PointDisk, options: ServeDiskOptions) => Promise<DiskServer>;
}

interface OpenedDisk {
  readonly view: DiskView;
  /** Undefined when the index of the point cannot be read: CRC and MD5 still check each block. */
  readonly fingerprints: FingerprintIndex | undefined;
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
  /** Names disk and point in the caches that disks share. */
  readonly #key: string;
  readonly #parts: DiskParts;
  #opened: Promise<OpenedDisk> | undefined;

  constructor(disk: DiskPoint, parts: DiskParts) {
    this.id = disk.diskId;
    this.alias = disk.alias;
    this.virtualSizeBytes = disk.sizeBytes;
    this.blockSizeBytes = parts.view.point.blockSizeBytes;
    this.#disk = disk;
    this.#key = `${parts.view.point.pointId} ${disk.diskId}`;
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
    const known = fingerprints && (await unlessDamaged(() => fingerprints.all()));
    if (known) checkComplete(view, known, count);
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
    const opened = await this.#open();
    const { blockSizeBytes } = this;
    const fromIndex = Math.floor(offsetBytes / blockSizeBytes);
    const blocks = this.#placed(opened, fromIndex, blockCountOf(endBytes, blockSizeBytes));
    const placed = withZeros(blocks, blockSizeBytes, fromIndex * blockSizeBytes, endBytes);
    for await (const extent of extentsOf(placed, blockSizeBytes, offsetBytes, endBytes)) {
      throwIfCancelled(options.signal);
      this.#parts.assertOpen();
      yield extent;
    }
  }

  /** As {@link viewBlocks}, with places that stay in memory. */
  async *#placed({ view }: OpenedDisk, from: number, to: number): AsyncGenerator<PlacedBlock> {
    const { places } = this.#parts;
    for await (const block of places.in(this.#key, view, from, to)) yield { kind: 'block', block };
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
        const block = await this.#hold(opened, index);
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
    await this.#whileOpen(() => this.#loadBlock(opened, placed.block, bytes));
    return { kind: 'block', offsetBytes: placed.block.index * this.blockSizeBytes, bytes };
  }

  async #loadBlock(opened: OpenedDisk, block: ViewBlock, room: Buffer): Promise<void> {
    const extent = await block.reader.storedExtent(block.blockId);
    const fingerprint = await fingerprintAt(opened, block.index);
    const wanted = blockToFetch(opened.view, block, extent, undefined);
    await this.#parts.loader.load({ ...wanted, fingerprint }, room);
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

  /**
   * Loads blocks into the cache, for a read that may come. Their errors come with that read. The
   * range may end beyond the disk.
   */
  prefetch({ offsetBytes, lengthBytes }: ByteRange): void {
    const endBytes = Math.min(offsetBytes + lengthBytes, this.virtualSizeBytes);
    const load = async (index: number): Promise<void> => {
      const block = await this.#hold(await this.#open(), index);
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

  async #hold(opened: OpenedDisk, index: number): Promise<HeldBlock | undefined> {
    return await this.#whileOpen(async () => {
      const { cache, places } = this.#parts;
      const placed = await places.at(this.#key, opened.view, index);
      if (!placed) {
        if (await fingerprintAt(opened, index)) throw this.#missing(index);
        return undefined;
      }
      const load = async (room: Buffer): Promise<void> => {
        await this.#loadBlock(opened, placed, room);
      };
      return await cache.hold(`${this.#key} ${index}`, this.blockSizeBytes, load);
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
    const fingerprints = await unlessDamaged(() =>
      view.newest.fingerprintIndex(this.#disk, loader.codecs),
    );
    return { view: await view.disk(this.#disk), fingerprints };
  }

  #missing(index: number): IntegrityError {
    return new IntegrityError(
      'INTEGRITY_FINGERPRINT_MISMATCH',
      `disk ${this.alias}: block ${index} is missing, but the fingerprint index has it`,
      { hint: 'run "ovirt-cbt verify"', details: { index } },
    );
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

/** Fingerprint of a block; 0n for zeros; undefined when its part of the index is damaged. */
async function fingerprintAt(
  { fingerprints }: OpenedDisk,
  index: number,
): Promise<bigint | undefined> {
  return fingerprints && (await unlessDamaged(() => fingerprints.get(index)));
}

/** Undefined for a part of the index that is damaged. CRC and MD5 still check each block. */
async function unlessDamaged<T>(read: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof BackupError) || isAccessFailure(error)) throw error;
    return undefined;
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
