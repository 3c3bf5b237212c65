/**
 * The result record: the bytes per slot of the slab in which a worker leaves the numbers of a job.
 * `postMessage` of the batch number publishes them. The record also has room for the padded end of a
 * block while its MD5 is computed.
 */
import { invariant } from '../core/errors.ts';
import { TAIL_BYTES } from './kernels/laneDigests.ts';
import { FINGERPRINT_BYTES, FINGERPRINT_STATE_BYTES } from './kernels/slabFingerprints.ts';
import { DIGEST_BYTES } from './lz4Frame.ts';

/** Bytes of one record. */
export const RESULT_BYTES = 192;

/** Blocks of one `fingerprintRange`: so many fingerprints find room in the record of a slot. */
export const MAX_RANGE_BLOCKS = 8;

/** Numbers that a job left behind. */
export interface JobResult {
  readonly status: number;
  readonly isLz4: boolean;
  readonly storedBytes: number;
  readonly fingerprint: bigint;
  readonly digest: Uint8Array;
  readonly workMs: number;
}

/** Status of a `read` or `fingerprintRange` that did not get all of its source. */
export const READ_FAILED = 1;

export const AT_STATUS = 0;
export const AT_IS_LZ4 = 4;
export const AT_STORED_BYTES = 8;
export const AT_FINGERPRINT = 16;
export const AT_WORK_MS = 24;
export const AT_DIGEST = 32;
/** The state of the fingerprint; then the end of the block with its MD5 padding, while the digest is computed. */
export const AT_TAIL: number = RESULT_BYTES - TAIL_BYTES;
/** What a `fingerprintRange` found, behind the state; it needs no digest. */
export const AT_FINGERPRINTS: number = RESULT_BYTES - MAX_RANGE_BLOCKS * FINGERPRINT_BYTES;
invariant(AT_FINGERPRINTS >= AT_TAIL + FINGERPRINT_STATE_BYTES, 'too many fingerprints a result');

export function recordAt(memory: SharedArrayBuffer, resultIndex: number): DataView {
  return new DataView(memory, resultIndex * RESULT_BYTES, RESULT_BYTES);
}

/** Copies the numbers of a finished job out of the slab. */
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

/** Copies what a finished `fingerprintRange` found out of the slab; `undefined` when not all could be read. */
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
