/**
 * The stored form of a block, as docs/format-vbk.md describes it: plain bytes, or a 12-byte header
 * and one raw LZ4 block. Constants only; blockCodecs.ts fills and checks this form.
 */

/**
 * Allocation unit of a container: 512 << ClusterAlign, with ClusterAlign 3 (seen in a genuine
 * file).
 */
export const CLUSTER_BYTES = 4096;
export const LZ4_HEADER_BYTES = 12;
/** Bytes 0F 00 00 F8 at the start of an LZ4 block (seen in a genuine file). */
export const LZ4_MAGIC = 0xf800000f;
/** Veeam is said to ignore the low four bits of the fourth byte in its check (VeeamPhaser). */
export const LZ4_MAGIC_MASK = 0xf0ffffff;
/** How the bytes of a block that we store are coded: LZ4, or unchanged. */
export type StoredCodec = 'lz4' | 'plain';
/** How the bytes of a stored block may be coded. Others also write zlib and zstd. */
export type ReadCodec = StoredCodec | 'zlib' | 'zstd';

/**
 * Most stored bytes of a block. Compressed bytes may exceed the plain ones: a zlib block of 1 MiB
 * with 326 B more is known from a file of others.
 */
export function maxStoredBytes(plainBytes: number): number {
  return plainBytes + Math.floor(plainBytes / 64) + 4096;
}

export const DIGEST_BYTES = 16;

/** Results of the check of a stored block. */
export const UNPACK_OK = 0;
export const UNPACK_BAD_HEADER = 1;
export const UNPACK_BAD_LENGTH = 2;
export const UNPACK_BAD_CRC = 3;
/** The zlib or zstd stream is damaged. */
export const UNPACK_BAD_STREAM = 4;

export type UnpackStatus = 0 | 1 | 2 | 3 | 4;
