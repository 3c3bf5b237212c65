/**
 * The only file that touches `@node-rs/crc32`. The package is CommonJS, so it is loaded by
 * `require`. An `import` would first search its source for export names. That takes three times as
 * long as the loading, in every thread.
 */
import { createRequire } from 'node:module';

/** @param initial - checksum of the bytes before these; 0 when there are none. */
type Checksum = (bytes: Uint8Array, initial?: number) => number;

const functions = createRequire(import.meta.url)('@node-rs/crc32') as {
  readonly crc32: Checksum;
  readonly crc32c: Checksum;
};

/** CRC-32 with zlib's polynomial. */
export const crc32: Checksum = functions.crc32;
/** CRC-32C (Castagnoli). */
export const crc32c: Checksum = functions.crc32c;
