/** A disk as the parent restore point holds it, from a picture of the image alphabet. */
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { FingerprintMap, type ParentDisk } from '../../../src/flow/fingerprintMap.ts';
import { BLOCK_BYTES, blockContent } from './diskPicture.ts';

const codecs = await createBlockCodecs();

export function parentDisk(
  picture: string,
  { tailBytes = BLOCK_BYTES, damaged = [] }: ParentDiskOptions = {},
): ParentDisk {
  const fingerprints = new FingerprintMap();
  const last = picture.length - 1;
  for (const [index, letter] of Array.from(picture).entries()) {
    if (letter === '0' || letter === '-') continue;
    const content = blockContent(letter, index === last ? tailBytes : BLOCK_BYTES);
    fingerprints.set(index, codecs.fingerprint(content));
  }
  const sizeBytes = last * BLOCK_BYTES + tailBytes;
  return { sizeBytes, fingerprints, damaged: new Set(damaged) };
}

export interface ParentDiskOptions {
  /** Length of the last block. @defaultValue a whole block */
  readonly tailBytes?: number | undefined;
  /** Blocks whose stored bytes are damaged. @defaultValue none */
  readonly damaged?: readonly number[] | undefined;
}
