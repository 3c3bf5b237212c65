/**
 * A block device over a raw image file or a local block device, such as an LVM snapshot.
 *
 * Holes of a file are zero extents where qemu-img can tell them. All other bytes are read, and
 * zeros are found by content. The count of allocated blocks only says whether it pays to ask: some
 * file systems report none for files that hold data.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { errnoOf, TransferError, UsageError } from '../core/errors.ts';
import { MIB } from '../core/units.ts';
import type { BlockDevice, Extent } from '../flow/records.ts';
import { findHoles, type Hole } from './imageHoles.ts';

const SECTOR_BYTES = 512;
/** Fewer missing bytes are read faster than a program is started. */
const MIN_SAVING_BYTES = 64 * MIB;
/** The same for small files, as a part of their size. */
const MIN_SAVING_RATIO = 0.05;
const PERMANENT_ERRNOS = new Set(['EBADF', 'EISDIR', 'EINVAL', 'ENXIO', 'ENODEV']);

interface Magic {
  readonly format: string;
  readonly offset: number;
  readonly bytes: Buffer;
}

function magic(format: string, bytes: string | readonly number[], offset = 0): Magic {
  return {
    format,
    offset,
    bytes: typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes),
  };
}

/** First bytes of image files that are not raw. @see QEMU, probe functions in block/ */
const MAGICS: readonly Magic[] = [
  magic('qcow2', 'QFI\xfb'),
  magic('qed', 'QED\0'),
  magic('vmdk', 'KDMV'),
  magic('vmdk', 'COWD'),
  magic('vmdk', '# Disk DescriptorFile'),
  magic('vhdx', 'vhdxfile'),
  magic('vhd', 'conectix'),
  magic('vdi', [0x7f, 0x10, 0xda, 0xbe], 0x40),
];
/** A VHD of fixed size has raw data first and its magic in the last sector. */
const VHD_FOOTER = magic('vhd', 'conectix');

function formatOf(sector: Buffer, magics: readonly Magic[]): string | undefined {
  return magics.find(({ offset, bytes }) =>
    sector.subarray(offset, offset + bytes.length).equals(bytes),
  )?.format;
}

function notRaw(path: string, format: string): UsageError {
  return new UsageError('USAGE_IMAGE_UNREADABLE', `image ${path}: is a ${format} file, not raw`, {
    hint: `convert it: qemu-img convert -O raw IMAGE IMAGE.raw; or use --image-format raw to back up the ${format} file itself, byte by byte`,
    details: { path, format },
  });
}

function unreadable(path: string, reason: string, cause?: unknown): UsageError {
  return new UsageError('USAGE_IMAGE_UNREADABLE', `image ${path}: ${reason}`, {
    hint: 'name a raw image file or a block device that this user can read',
    details: { path },
    cause,
  });
}

/** Size of a block device as the kernel states it, in sectors of 512 bytes. */
async function blockDeviceBytes(path: string, deviceNumber: number): Promise<number> {
  const major = Math.floor(deviceNumber / 256) % 4096;
  const minor = (deviceNumber % 256) + Math.floor(deviceNumber / 2 ** 20) * 256;
  try {
    return Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SECTOR_BYTES;
  } catch (error) {
    throw unreadable(path, 'the size of this block device is unknown', error);
  }
}

function readFailed(path: string, offsetBytes: number, cause: unknown): TransferError {
  const errno = errnoOf(cause) ?? 'unknown error';
  return new TransferError(
    'TRANSFER_READ_FAILED',
    `read of ${path} at ${offsetBytes} B: ${errno}`,
    {
      cause,
      retryable: !PERMANENT_ERRNOS.has(errno),
      hint: 'check the storage that holds the image',
      details: { offsetBytes, errno },
    },
  );
}

export interface RawImage extends BlockDevice {
  readonly path: string;
  readonly fileDescriptor: number;
  /** Allocated bytes of a file, for estimates only. The size of a block device. */
  readonly allocatedBytes: number;
  /** Reason why the holes of a sparse file are read, after its extents were listed. */
  readonly holesUnknown: string | undefined;
  /** True when the file changed since it was opened. Always false for a block device. */
  hasChanged(): Promise<boolean>;
}

interface OpenedImage {
  readonly path: string;
  readonly file: FileHandle;
  readonly isFile: boolean;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly modifiedAtNs: bigint;
}

function isSparse({ sizeBytes, allocatedBytes }: OpenedImage): boolean {
  const minSaving = Math.min(MIN_SAVING_BYTES, sizeBytes * MIN_SAVING_RATIO);
  return sizeBytes - allocatedBytes >= minSaving;
}

/** Extents of a file: the holes, and data around them. */
function* extentsAround(holes: readonly Hole[], sizeBytes: number): Generator<Extent> {
  let nextBytes = 0;
  for (const { offsetBytes, lengthBytes } of holes) {
    if (offsetBytes > nextBytes) yield dataExtent(nextBytes, offsetBytes);
    yield { offsetBytes, lengthBytes, zero: true };
    nextBytes = offsetBytes + lengthBytes;
  }
  if (nextBytes < sizeBytes) yield dataExtent(nextBytes, sizeBytes);
}

function dataExtent(offsetBytes: number, endBytes: number): Extent {
  return { offsetBytes, lengthBytes: endBytes - offsetBytes, zero: false };
}

class RawImageDevice implements RawImage {
  readonly path: string;
  readonly virtualSizeBytes: number;
  readonly fileDescriptor: number;
  readonly allocatedBytes: number;
  readonly #image: OpenedImage;
  #holes: readonly Hole[] | undefined;
  #holesUnknown: string | undefined;

  constructor(image: OpenedImage) {
    this.#image = image;
    this.path = image.path;
    this.virtualSizeBytes = image.sizeBytes;
    this.fileDescriptor = image.file.fd;
    this.allocatedBytes = image.allocatedBytes;
  }

  get holesUnknown(): string | undefined {
    return this.#holesUnknown;
  }

  extents(
    _context: 'zero' | 'dirty',
    signal: AbortSignal,
  ): Iterable<Extent> | AsyncIterable<Extent> {
    if (!isSparse(this.#image)) return extentsAround([], this.virtualSizeBytes);
    return this.#sparseExtents(signal);
  }

  async readInto(target: Uint8Array, offsetBytes: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const bytesRead = await this.#read(target, done, offsetBytes);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async hasChanged(): Promise<boolean> {
    if (!this.#image.isFile) return false;
    const now = await this.#image.file.stat({ bigint: true }).catch((error: unknown) => {
      throw readFailed(this.path, 0, error);
    });
    return now.mtimeNs !== this.#image.modifiedAtNs || Number(now.size) !== this.virtualSizeBytes;
  }

  async close(): Promise<void> {
    // The image was only read: a failed close must not replace the result of the session.
    await this.#image.file.close().catch(() => {});
  }

  async *#sparseExtents(signal: AbortSignal): AsyncGenerator<Extent> {
    // A session lists the extents twice: for its progress, and to read them.
    this.#holes ??= await this.#findHoles(signal);
    yield* extentsAround(this.#holes, this.virtualSizeBytes);
  }

  async #findHoles(signal: AbortSignal): Promise<readonly Hole[]> {
    const { fileDescriptor, virtualSizeBytes: sizeBytes } = this;
    try {
      return await findHoles({ fileDescriptor, sizeBytes, signal });
    } catch (error) {
      signal.throwIfAborted();
      this.#holesUnknown = error instanceof Error ? error.message : String(error);
      return [];
    }
  }

  async #read(target: Uint8Array, done: number, offsetBytes: number): Promise<number> {
    try {
      const length = target.length - done;
      return (await this.#image.file.read(target, done, length, offsetBytes + done)).bytesRead;
    } catch (error) {
      throw readFailed(this.path, offsetBytes + done, error);
    }
  }
}

/** `raw` takes the bytes as they are. Without it a file of another format is refused. */
export type SourceFormat = 'raw';

/**
 * Opens an image for reading. The caller closes it.
 *
 * @throws {@link UsageError} `USAGE_IMAGE_UNREADABLE` when it is missing, not readable, empty,
 *   neither a regular file nor a block device, or an image of another format (qcow2, vmdk, vhd,
 *   vhdx, vdi, qed) without `format`
 */
export async function openRawImage(path: string, format?: SourceFormat): Promise<RawImage> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const errno = errnoOf(error);
    const reason =
      errno === 'ENOENT'
        ? 'does not exist'
        : errno === 'EACCES'
          ? 'permission denied'
          : (errno ?? 'cannot be opened');
    throw unreadable(path, reason, error);
  }
  try {
    const image = await describe(path, file);
    if (format !== 'raw') await refuseOtherFormat(image);
    return new RawImageDevice(image);
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
}

/** Bytes from `offsetBytes` on, at most a sector. */
async function readSector({ path, file }: OpenedImage, offsetBytes: number): Promise<Buffer> {
  try {
    const sector = Buffer.alloc(SECTOR_BYTES);
    const { bytesRead } = await file.read(sector, 0, SECTOR_BYTES, offsetBytes);
    return sector.subarray(0, bytesRead);
  } catch (error) {
    throw readFailed(path, offsetBytes, error);
  }
}

/** Otherwise a container file would be stored as if it were the disk in it. */
async function refuseOtherFormat(image: OpenedImage): Promise<void> {
  const { path, isFile, sizeBytes } = image;
  const format = formatOf(await readSector(image, 0), MAGICS);
  if (format !== undefined) throw notRaw(path, format);
  if (!isFile || sizeBytes < SECTOR_BYTES) return;
  const footer = formatOf(await readSector(image, sizeBytes - SECTOR_BYTES), [VHD_FOOTER]);
  if (footer !== undefined) throw notRaw(path, footer);
}

async function describe(path: string, file: FileHandle): Promise<OpenedImage> {
  const stat = await file.stat({ bigint: true }).catch((error: unknown) => {
    throw unreadable(path, errnoOf(error) ?? 'its size cannot be read', error);
  });
  if (!stat.isFile() && !stat.isBlockDevice())
    throw unreadable(path, 'is neither a file nor a block device');
  const isFile = stat.isFile();
  const sizeBytes = isFile ? Number(stat.size) : await blockDeviceBytes(path, Number(stat.rdev));
  if (!(sizeBytes > 0) || !Number.isSafeInteger(sizeBytes)) throw unreadable(path, 'is empty');
  const allocatedBytes = isFile ? Number(stat.blocks) * SECTOR_BYTES : sizeBytes;
  return { path, file, isFile, sizeBytes, allocatedBytes, modifiedAtNs: stat.mtimeNs };
}
