/** Contents for raw images: reproducible, and readable as a string of blocks. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

export const KIB = 1024;
export const MIB: number = 1024 * KIB;
export const GIB_BYTES: number = 1024 * MIB;
/** The smallest block size of a container: keeps images of several blocks small. */
export const BLOCK_BYTES: number = 256 * KIB;

/** Uniform numbers from 0 to below 1 that depend on the seed only (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = Math.trunc(state + 0x6d2b79f5);
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bytes that do not compress and depend on the seed only. */
export function noise(lengthBytes: number, seed: number | string): Buffer {
  const hash = createHash('shake256', { outputLength: lengthBytes });
  return hash.update(`noise ${seed}`).digest();
}

/** Bytes that compress well and depend on the seed only. */
export function prose(lengthBytes: number, seed: number | string): Buffer {
  return Buffer.alloc(lengthBytes, `line of ${seed}, over and over;\n`);
}

/**
 * Content of an image, one letter a block: `0` is zeros, an upper case letter is noise, a lower case letter is
 * compressible text. Equal letters are equal blocks.
 */
export function blocks(letters: string, blockBytes: number = BLOCK_BYTES): Buffer {
  return Buffer.concat(
    Array.from(letters, (letter) => {
      if (letter === '0') return Buffer.alloc(blockBytes);
      return letter === letter.toUpperCase()
        ? noise(blockBytes, letter)
        : prose(blockBytes, letter);
    }),
  );
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function sha256OfFile(file: string): string {
  return sha256(readFileSync(file));
}

export function writeImage(file: string, content: Uint8Array): string {
  writeFileSync(file, content);
  return file;
}

/** A file of `sizeBytes` that is a hole but for `head` at its start: long to read, cheap to keep. */
export function writeSparseImage(file: string, sizeBytes: number, head: Uint8Array): string {
  const handle = openSync(file, 'w');
  try {
    writeSync(handle, head);
    ftruncateSync(handle, sizeBytes);
  } finally {
    closeSync(handle);
  }
  return file;
}

/** Inverts one bit of a file. */
export function flipBit(file: string, offsetBytes: number, bit = 0): void {
  const content = readFileSync(file);
  content[offsetBytes] = (content[offsetBytes] ?? 0) ^ (1 << bit);
  writeFileSync(file, content);
}
