/**
 * Small disks written as strings, one character a block:
 *
 * - a letter: a block filled with that letter in lower case; upper case is dirty, lower case clean
 * - a digit 1 to 9: a dirty block of noise that LZ4 cannot compress, different per digit
 * - `0`: zeros that were written since the checkpoint (dirty zero)
 * - `-`: a hole that nobody wrote (clean zero)
 */
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { createMemoryDevice } from '../../../src/devices/memoryDevice.ts';
import { FingerprintMap, type ParentDisk } from '../../../src/flow/fingerprintMap.ts';
import type { BlockDevice, DiskMode, DiskTask, Extent } from '../../../src/flow/records.ts';
import { noise } from '../bytes/random.ts';

/** Block size of pictures, unless told otherwise. */
export const PICTURE_BLOCK_BYTES = 4096;

export interface DiskImageOptions {
  /** @defaultValue 4096 */
  readonly blockSizeBytes?: number | undefined;
  /** Length of the last block. @defaultValue a whole block */
  readonly tailBytes?: number | undefined;
}

export interface DiskImage {
  readonly content: Buffer;
  /** One extent a character, with `zero` and `dirty` set. */
  readonly extents: readonly Extent[];
  readonly device: BlockDevice;
  task(mode?: DiskMode): DiskTask;
}

/** Content of one block, by its character. */
export function blockContent(letter: string, lengthBytes: number = PICTURE_BLOCK_BYTES): Buffer {
  if (/[1-9]/.test(letter)) return noise(Number(letter), lengthBytes);
  if (/[a-z]/i.test(letter)) return Buffer.alloc(lengthBytes, letter.toLowerCase());
  if (/[0-]/.test(letter)) return Buffer.alloc(lengthBytes);
  throw new Error(`"${letter}" is not in the image alphabet`);
}

/** The character for this content: lower case, and `0` for any zeros. */
export function letterOf(bytes: Uint8Array): string {
  const text = 'abcdefghijklmnopqrstuvwxyz1234567890';
  const found = Array.from(text).find((letter) => blockContent(letter, bytes.length).equals(bytes));
  return found ?? '?';
}

export function diskImage(picture: string, options: DiskImageOptions = {}): DiskImage {
  const { blockSizeBytes = PICTURE_BLOCK_BYTES, tailBytes = blockSizeBytes } = options;
  const letters = Array.from(picture);
  const lengthAt = (index: number): number =>
    index === letters.length - 1 ? tailBytes : blockSizeBytes;
  const content = Buffer.concat(letters.map((letter, k) => blockContent(letter, lengthAt(k))));
  const extents = letters.map((letter, k) => ({
    offsetBytes: k * blockSizeBytes,
    lengthBytes: lengthAt(k),
    zero: letter === '0' || letter === '-',
    dirty: /[0-9A-Z]/.test(letter),
  }));
  return {
    content,
    extents,
    device: createMemoryDevice({ content, extents: { zero: extents, dirty: extents } }),
    task: (mode = 'full') => ({
      diskId: 'disk-1',
      alias: 'data',
      virtualSizeBytes: content.length,
      blockSizeBytes,
      mode,
    }),
  };
}

const codecs = await createBlockCodecs();

/** The disk of a picture as its parent restore point describes it. */
export function parentDisk(
  picture: string,
  { tailBytes = PICTURE_BLOCK_BYTES, damaged = [] }: ParentDiskOptions = {},
): ParentDisk {
  const fingerprints = new FingerprintMap();
  const last = picture.length - 1;
  for (const [index, letter] of Array.from(picture).entries()) {
    if (letter === '0' || letter === '-') continue;
    const content = blockContent(letter, index === last ? tailBytes : PICTURE_BLOCK_BYTES);
    fingerprints.set(index, codecs.fingerprint(content));
  }
  const sizeBytes = last * PICTURE_BLOCK_BYTES + tailBytes;
  return { sizeBytes, fingerprints, damaged: new Set(damaged) };
}

export interface ParentDiskOptions {
  /** Length of the last block. @defaultValue a whole block */
  readonly tailBytes?: number | undefined;
  /** Blocks whose stored bytes are damaged. @defaultValue none */
  readonly damaged?: readonly number[] | undefined;
}
