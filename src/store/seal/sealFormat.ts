/**
 * The form of a sealed file: a header, then chunks. Numbers only, no I/O and no keys.
 *
 * A sealed chunk is nonce (12 bytes), ciphertext, tag (16 bytes). Plain chunk 0 has 4096 bytes, all
 * others have 262,144. So the header of a container and each of its two snapshot slots begin a
 * chunk of their own, and a torn write of one slot leaves the other one whole.
 */
import { FormatError, IntegrityError } from '../../core/errors.ts';

export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
/** What sealing adds to a chunk. */
export const SEAL_BYTES: number = NONCE_BYTES + TAG_BYTES;

export const FIRST_CHUNK_BYTES = 4096;
export const CHUNK_BYTES = 262_144;

export const HEADER_BYTES = 64;
export const SALT_BYTES = 32;
export const KEY_ID_BYTES = 12;
/** First bytes of a file of chunks, and of the header line of a file of lines. */
export const CHUNKS_MAGIC = 'OCBTSEAL';
export const LINES_MAGIC = 'OCBTLINE';
const VERSION = 2;
const AT_VERSION = 8;
const AT_CHUNK_BYTES = 12;
const AT_FIRST_CHUNK_BYTES = 16;
const AT_KEY_ID = 20;
const AT_SALT = AT_KEY_ID + KEY_ID_BYTES;

export interface SealHeader {
  /** Hex. */
  readonly keyId: string;
  readonly salt: Buffer;
}

export type Magic = typeof CHUNKS_MAGIC | typeof LINES_MAGIC;

/** @param chunk - its number, where that is known. */
export function sealBroken(file: string, what: string, chunk?: number): IntegrityError {
  const place = chunk === undefined ? '' : ` chunk ${chunk}:`;
  return new IntegrityError('INTEGRITY_SEAL_BROKEN', `${file}:${place} ${what}`, {
    hint: 'the file was damaged, changed, moved or renamed; restore it from a copy if there is one',
    details: { file, chunk },
  });
}

export function encodeHeader(magic: Magic, { keyId, salt }: SealHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(magic, 'latin1');
  bytes.writeUInt32LE(VERSION, AT_VERSION);
  bytes.writeUInt32LE(CHUNK_BYTES, AT_CHUNK_BYTES);
  bytes.writeUInt32LE(FIRST_CHUNK_BYTES, AT_FIRST_CHUNK_BYTES);
  bytes.write(keyId, AT_KEY_ID, 'hex');
  salt.copy(bytes, AT_SALT);
  return bytes;
}

/**
 * @param bytes - at least the header.
 * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN` for a file that is not sealed
 * @throws {@link FormatError} `FORMAT_UNSUPPORTED` for another version
 */
export function decodeHeader(magic: Magic, bytes: Buffer, file: string): SealHeader {
  if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, AT_VERSION) !== magic) {
    throw sealBroken(file, 'is not sealed, but the repository is');
  }
  const version = bytes.readUInt32LE(AT_VERSION);
  if (version !== VERSION) {
    throw new FormatError('FORMAT_UNSUPPORTED', `${file}: sealed form ${version} is not known`, {
      hint: 'use the version of the product that made it',
    });
  }
  const isKnown =
    bytes.readUInt32LE(AT_CHUNK_BYTES) === CHUNK_BYTES &&
    bytes.readUInt32LE(AT_FIRST_CHUNK_BYTES) === FIRST_CHUNK_BYTES;
  if (!isKnown) throw sealBroken(file, 'its header names other sizes of chunks');
  return {
    keyId: bytes.toString('hex', AT_KEY_ID, AT_SALT),
    salt: Buffer.from(bytes.subarray(AT_SALT, HEADER_BYTES)),
  };
}

/** Number of the chunk that holds a plain byte. */
export function chunkAt(plainOffset: number): number {
  if (plainOffset < FIRST_CHUNK_BYTES) return 0;
  return 1 + Math.floor((plainOffset - FIRST_CHUNK_BYTES) / CHUNK_BYTES);
}

/** Offset of the first plain byte of a chunk. */
export function plainStartOf(chunk: number): number {
  return chunk === 0 ? 0 : FIRST_CHUNK_BYTES + (chunk - 1) * CHUNK_BYTES;
}

/** Plain bytes of a chunk that is full. */
export function plainBytesOf(chunk: number): number {
  return chunk === 0 ? FIRST_CHUNK_BYTES : CHUNK_BYTES;
}

/** Offset of a sealed chunk in its file. */
export function sealedStartOf(chunk: number): number {
  return HEADER_BYTES + plainStartOf(chunk) + chunk * SEAL_BYTES;
}

/** Number of the last chunk of a file. An empty file has an empty chunk 0. */
export function lastChunkOf(plainSize: number): number {
  return chunkAt(Math.max(0, plainSize - 1));
}

/** Bytes of the sealed file. */
export function sealedSizeOf(plainSize: number): number {
  return HEADER_BYTES + plainSize + (lastChunkOf(plainSize) + 1) * SEAL_BYTES;
}

/**
 * Bytes of the plain file, if the size of the sealed one is true. No chunk begins in the last bytes
 * of a file that was cut there; they count for nothing.
 */
export function plainSizeOf(sealedSize: number): number {
  const afterFirst = sealedSize - sealedStartOf(1);
  if (afterFirst <= 0) return Math.max(0, sealedSize - sealedStartOf(0) - SEAL_BYTES);
  const sealedChunkBytes = CHUNK_BYTES + SEAL_BYTES;
  const whole = Math.floor(afterFirst / sealedChunkBytes);
  const rest = afterFirst - whole * sealedChunkBytes;
  return FIRST_CHUNK_BYTES + whole * CHUNK_BYTES + Math.max(0, rest - SEAL_BYTES);
}
