/**
 * The result record: a few bytes for each slot of the slab, in which a worker leaves the numbers of
 * a job. `postMessage` of the batch number makes them visible to the other thread. While the MD5 of
 * a block is computed, the record also holds the padded end of the block.
 */
import { invariant } from '../core/errors.ts';
import { TAIL_BYTES } from './kernels/laneDigests.ts';
import { FINGERPRINT_BYTES, FINGERPRINT_STATE_BYTES } from './kernels/slabFingerprints.ts';
import { DIGEST_BYTES } from './storedForm.ts';

/** Bytes of one record. */
export const RESULT_BYTES = 192;

/**
 * Most blocks of one `fingerprintRange`: the record of a slot has room for this many fingerprints.
 */
export const MAX_RANGE_BLOCKS = 8;

/** Results of one job. */
export interface JobResult {
  /** 0, {@link READ_FAILED}, or one of the UNPACK_ values of storedForm.ts. */
  readonly status: number;
  readonly isLz4: boolean;
  readonly storedBytes: number;
  readonly fingerprint: bigint;
  /** MD5, 16 bytes; a copy that belongs to the caller. */
  readonly digest: Uint8Array;
  /** CPU time. */
  readonly workMs: number;
}

/** Status of a `read` or `fingerprintRange` that could not read all of its source. */
export const READ_FAILED = 1;

export const AT_STATUS = 0;
export const AT_IS_LZ4 = 4;
export const AT_STORED_BYTES = 8;
export const AT_FINGERPRINT = 16;
export const AT_WORK_MS = 24;
export const AT_DIGEST = 32;
/**
 * First the state of the fingerprint; later, while the digest is computed, the end of the block
 * with its MD5 padding.
 */
export const AT_TAIL: number = RESULT_BYTES - TAIL_BYTES;
/**
 * The fingerprints of a `fingerprintRange`, after the state. They may overwrite the rest of the
 * tail: such a job computes no digest.
 */
export const AT_FINGERPRINTS: number = RESULT_BYTES - MAX_RANGE_BLOCKS * FINGERPRINT_BYTES;
invariant(
  AT_FINGERPRINTS >= AT_TAIL + FINGERPRINT_STATE_BYTES,
  'too many fingerprints for a result record',
);

/** Result record of slot `resultIndex`: a view of the shared memory, not a copy. */
export function recordAt(memory: SharedArrayBuffer, resultIndex: number): DataView {
  return new DataView(memory, resultIndex * RESULT_BYTES, RESULT_BYTES);
}

/** Byte offset in the slab of the room for the state of a fingerprint of slot `resultIndex`. */
export function fingerprintStateOffset(resultIndex: number): number {
  return resultIndex * RESULT_BYTES + AT_TAIL;
}

/** Copies the results of a finished job out of the slab. */
export function readResult(memory: SharedArrayBuffer, resultIndex: number): JobResult {
  const out = recordAt(memory, resultIndex);
  return {
    status: out.getUint32(AT_STATUS, true),
    isLz4: out.getUint32(AT_IS_LZ4, true) === 1,
    storedBytes: out.getFloat64(AT_STORED_BYTES, true),
    fingerprint: out.getBigUint64(AT_FINGERPRINT, true),
    digest: Uint8Array.from(new Uint8Array(memory, out.byteOffset + AT_DIGEST, DIGEST_BYTES)),
    workMs: out.getFloat64(AT_WORK_MS, true),
  };
}

/**
 * Copies the fingerprints of a finished `fingerprintRange` out of the slab. `undefined` when not
 * all of the range could be read.
 */
export function readRangeFingerprints(
  memory: SharedArrayBuffer,
  resultIndex: number,
  blockCount: number,
): bigint[] | undefined {
  const out = recordAt(memory, resultIndex);
  if (out.getUint32(AT_STATUS, true) !== 0) return undefined;
  return Array.from({ length: blockCount }, (_, k) =>
    out.getBigUint64(AT_FINGERPRINTS + k * FINGERPRINT_BYTES, true),
  );
}
