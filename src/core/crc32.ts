/**
 * The only file that touches `@node-rs/crc32`. It is taken by `require`: of a CommonJS package that is imported, Node
 * first searches the source for the names of its exports, which takes three times as long as loading it, in every thread.
 */
import { createRequire } from 'node:module';

/** @param initial - the checksum of the bytes before these, 0 for none. */
type Checksum = (bytes: Uint8Array, initial?: number) => number;

const functions = createRequire(import.meta.url)('@node-rs/crc32') as {
  readonly crc32: Checksum;
  readonly crc32c: Checksum;
};

/** CRC-32 with zlib's polynomial. */
export const crc32: Checksum = functions.crc32;
/** CRC-32C (Castagnoli). */
export const crc32c: Checksum = functions.crc32c;
