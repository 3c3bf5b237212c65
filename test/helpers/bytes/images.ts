/** Raw images: contents written as strings of blocks, digests, files. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { noise, prose } from './random.ts';

export const KIB = 1024;
export const MIB: number = 1024 * KIB;
export const GIB_BYTES: number = 1024 * MIB;
/** The smallest block size of a container: keeps images of several blocks small. */
export const BLOCK_BYTES: number = 256 * KIB;

/**
 * Content of an image, one letter a block: `0` is zeros, an upper case letter is noise, a lower
 * case letter is compressible text. Equal letters are equal blocks.
 */
export function blocks(letters: string, blockBytes: number = BLOCK_BYTES): Buffer {
  return Buffer.concat(
    Array.from(letters, (letter) => {
      if (letter === '0') return Buffer.alloc(blockBytes);
      return letter === letter.toUpperCase()
        ? noise(letter, blockBytes)
        : prose(letter, blockBytes);
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

/**
 * A file of `sizeBytes`: `head` and then a hole. It takes little space. Without qemu-img it takes
 * long to read.
 */
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

/** An image file that is open, as the devices of local images are. */
export interface ImageFile {
  readonly path: string;
  readonly fileDescriptor: number;
  close(): void;
}

/** Writes `content` to a temporary file and opens it. The caller closes it, which deletes it. */
export function imageFile(content: Uint8Array): ImageFile {
  const folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  const file = path.join(folder, 'disk.raw');
  writeFileSync(file, content);
  const fileDescriptor = openSync(file, 'r');
  return {
    path: file,
    fileDescriptor,
    close: () => {
      closeSync(fileDescriptor);
      rmSync(folder, { recursive: true });
    },
  };
}
