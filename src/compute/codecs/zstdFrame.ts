/**
 * Finds the end of a zstd frame (RFC 8878, section 3.1) from its headers, without expanding it. So
 * both decoders get exactly one frame, and none allocates a window that a forger asks for.
 */

const MAGIC = 0xfd2fb528;
const MIN_HEADER_BYTES = 6;
/** Twice the largest block: no encoder needs more for one block. */
const MAX_WINDOW_BYTES = 16 * 1024 * 1024;
const RAW_BLOCK = 0;
const RLE_BLOCK = 1;
const COMPRESSED_BLOCK = 2;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

interface FrameHeader {
  readonly headerBytes: number;
  readonly windowBytes: number;
  /** NaN when the frame does not tell it. */
  readonly contentBytes: number;
  readonly hasChecksum: boolean;
}

function windowOf(descriptor: number): number {
  const baseBytes = 2 ** (10 + (descriptor >> 3));
  return baseBytes + (baseBytes / 8) * (descriptor & 7);
}

function contentSize(bytes: Buffer, at: number, width: number): number {
  if (width === 0) return Number.NaN;
  if (width === 8) return Number(bytes.readBigUInt64LE(at));
  return bytes.readUIntLE(at, width) + (width === 2 ? 256 : 0);
}

/** Undefined for bytes that begin no frame, and for one that needs a dictionary. */
function readHeader(bytes: Buffer): FrameHeader | undefined {
  if (bytes.length < MIN_HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const descriptor = bytes.readUInt8(4);
  const isReserved = (descriptor & 8) !== 0;
  const needsDictionary = (descriptor & 3) !== 0;
  if (isReserved || needsDictionary) return undefined;
  const isSingle = (descriptor & 32) !== 0;
  const flag = descriptor >> 6;
  const width = flag === 0 && isSingle ? 1 : (CONTENT_SIZE_BYTES[flag] ?? 0);
  const at = isSingle ? 5 : 6;
  if (bytes.length < at + width) return undefined;
  const contentBytes = contentSize(bytes, at, width);
  return {
    headerBytes: at + width,
    windowBytes: isSingle ? contentBytes : windowOf(bytes.readUInt8(5)),
    contentBytes,
    hasChecksum: (descriptor & 4) !== 0,
  };
}

/**
 * Bytes of the frame that `bytes` begin with; undefined when they begin with no whole frame, or
 * with one that does not say `plainBytes`.
 */
export function zstdFrameBytes(bytes: Buffer, plainBytes: number): number | undefined {
  const header = readHeader(bytes);
  if (!header || header.windowBytes > MAX_WINDOW_BYTES) return undefined;
  const { contentBytes, headerBytes, hasChecksum } = header;
  if (!Number.isNaN(contentBytes) && contentBytes !== plainBytes) return undefined;
  let at = headerBytes;
  for (let isLast = false; !isLast; ) {
    if (at + 3 > bytes.length) return undefined;
    const block = bytes.readUIntLE(at, 3);
    const type = (block >> 1) & 3;
    isLast = (block & 1) !== 0;
    if (type !== RAW_BLOCK && type !== RLE_BLOCK && type !== COMPRESSED_BLOCK) return undefined;
    at += 3 + (type === RLE_BLOCK ? 1 : block >> 3);
  }
  const endBytes = at + (hasChecksum ? 4 : 0);
  return endBytes <= bytes.length ? endBytes : undefined;
}
