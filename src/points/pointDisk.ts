/** One disk of an opened restore point, for reading. */
import { Readable } from 'node:stream';
import { BackupError, CancelledError, IntegrityError, UsageError } from '../core/errors.ts';
import { blockCountOf, formatBytes, MIB } from '../core/units.ts';
import type { FingerprintMap } from '../flow/fingerprintMap.ts';
import type { DiskPoint } from '../repository/restorePoint.ts';
import type { DiskView, RestorePointView } from '../repository/restorePointView.ts';
import type { BlockCache } from './blockCache.ts';
import type { BlockLoader } from './blockLoader.ts';
import { loadAhead, readAheadOf } from './readAhead.ts';
import {
  type ByteRange,
  type PlacedBlock,
  recordedChanges,
  toFetch,
  viewBlocks,
  withZeros,
} from './diskBlocks.ts';

/** Most bytes of one `read`. */
const MAX_READ_BYTES = 64 * MIB;
/** Zeros in a byte stream come in pieces of this size. */
const ZERO_PIECE_BYTES = MIB;

/** A block of a disk. `bytes` belongs to the receiver. */
export interface PointBlock {
  readonly offsetBytes: number;
  readonly bytes: Buffer;
}

/** A block that changed since the parent point, or a range that is zero now. */
export type ChangedBlock =
  | ({ readonly kind: 'block' } & PointBlock)
  | ({ readonly kind: 'zero' } & ByteRange);

/** A range of a disk that holds data, or is zeros. */
export interface PointExtent extends ByteRange {
  readonly zero: boolean;
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface RangeOptions extends ReadOptions {
  /** @defaultValue 0 */
  readonly offsetBytes?: number | undefined;
  /** @defaultValue up to the end of the disk */
  readonly lengthBytes?: number | undefined;
}

/** A server that shows a disk to other programs. {@link close} breaks its clients off. */
export interface DiskServer {
  /** Such as `nbd+unix:///system?socket=/run/nbd.sock`. */
  readonly uris: readonly string[];
  /** Counts so far. `bytes` includes zeros that were sent as holes. */
  readonly served: Readonly<{ requests: number; bytes: number; failures: number }>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Where a disk is served: a Unix socket, or a port of a loopback address. */
export type ServeAddress =
  | { readonly socket: string }
  | { readonly host: string; readonly port: number };

/** What a disk shares with the other disks of its point. */
export interface DiskParts {
  readonly view: RestorePointView;
  readonly loader: BlockLoader;
  readonly cache: BlockCache;
  /** Throws after the point was closed. */
  readonly assertOpen: () => void;
  readonly serve: (disk: PointDisk, address: ServeAddress) => Promise<DiskServer>;
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
    if (fingerprints) this.#checkCount(fingerprints, count);
  }

  /**
   * What this point holds against its parent point, by ascending offset. Applied to the disk at the
   * parent point it gives the disk at this point. For a full that is the whole disk.
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
      throwIfAborted(signal);
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
      throwIfAborted(options.signal);
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
      throwIfAborted(signal);
      yield loaded;
    }
  }

  async #loadOne({ view, fingerprints }: OpenedDisk, placed: PlacedBlock): Promise<ChangedBlock> {
    if (placed.kind === 'zero') return placed;
    return await this.#whileOpen(async () => {
      const block = await toFetch(view, placed.block, fingerprints);
      const { offsetBytes } = block;
      return { kind: 'block', offsetBytes, bytes: await this.#parts.loader.load(block) };
    });
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
   * Serves the disk over NBD, read-only, until the server or the point is closed.
   *
   * @throws {@link UsageError} for an address that cannot be used
   */
  async serveNbd(address: ServeAddress): Promise<DiskServer> {
    this.#parts.assertOpen();
    return await this.#parts.serve(this, address);
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

  async #cachedBlock(
    { view, fingerprints }: OpenedDisk,
    index: number,
  ): Promise<Buffer | undefined> {
    return await this.#whileOpen(async () => {
      const placed = await view.blockAt(index);
      if (!placed) {
        if (fingerprints && fingerprints.get(index) !== 0n) throw this.#missing(index);
        return undefined;
      }
      const { cache, loader, view: point } = this.#parts;
      const key = `${point.point.pointId} ${this.id} ${index}`;
      return await cache.get(key, placed.lengthBytes, async () =>
        loader.load(await toFetch(view, placed, fingerprints)),
      );
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
        if (error instanceof BackupError) return undefined;
        throw error;
      });
    return { view: await view.disk(this.#disk), fingerprints };
  }

  /** A block that the fingerprint index calls non-zero must not be missing in the containers. */
  #checkCount(fingerprints: FingerprintMap, count: number): void {
    const end = blockCountOf(this.virtualSizeBytes, this.blockSizeBytes);
    let expected = 0;
    for (const _index of fingerprints.nonZeroIn(0, end)) expected++;
    if (expected === count) return;
    throw new IntegrityError(
      'INTEGRITY_FINGERPRINT_MISMATCH',
      `disk ${this.alias}: ${count} blocks read, ${expected} in the fingerprint index`,
      { hint: 'run "ovirt-cbt verify"' },
    );
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

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  const { reason } = signal;
  throw reason instanceof BackupError
    ? reason
    : new CancelledError('CANCELLED', 'the read was stopped', { cause: reason });
}

function* zeroPieces(lengthBytes: number): Generator<Buffer> {
  for (let left = lengthBytes; left > 0; left -= ZERO_PIECE_BYTES) {
    yield Buffer.alloc(Math.min(left, ZERO_PIECE_BYTES));
  }
}
