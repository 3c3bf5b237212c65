/**
 * How a verb job crosses the thread boundary: numbers only. A job is nine numbers; its results are left in
 * the record of one slot inside the slab, which `postMessage` publishes. The jobs of a batch are worked on
 * one after the other, and then all their digests are computed together.
 */
import { invariant } from '../core/errors.ts';
import type { BlockVerbs } from './blockVerbs.ts';
import { readBlock } from './blockFileRead.ts';
import { FINGERPRINT_BYTES } from './fingerprintMap.ts';
import { type DigestJob, type LaneDigests, TAIL_BYTES } from './laneDigests.ts';
import { RESULT_BYTES } from './slab.ts';
import { FINGERPRINT_STATE_BYTES, type SlabFingerprints } from './slabFingerprints.ts';
import { DIGEST_BYTES } from './storedBlock.ts';

export const VERB_HASH = 0;
export const VERB_PACK = 1;
export const VERB_UNPACK = 2;
export const VERB_READ = 3;
export const VERB_PEEK = 4;

/** Blocks of one `peek`: so many fingerprints find room in the record of a slot. */
export const MAX_PEEK_BLOCKS = 8;

/** One job: slots by index and their byte places in the shared memory. */
export interface VerbJob {
  readonly verb:
    | typeof VERB_HASH
    | typeof VERB_PACK
    | typeof VERB_UNPACK
    | typeof VERB_READ
    | typeof VERB_PEEK;
  /** Slot whose result record takes the numbers. */
  readonly resultIndex: number;
  /**
   * Byte offset and length of the source in the slab, or with `read` and `peek` in the file; with `pack` the slot has
   * room up to the next cluster.
   */
  readonly sourceOffset: number;
  readonly sourceBytes: number;
  readonly targetOffset: number;
  /** Room in the target for `pack`, `read` and `peek`, plain length for `unpack`. */
  readonly targetBytes: number;
  /** For `unpack`: 1 when the source is LZ4. */
  readonly isLz4: 0 | 1;
  /** For `read` and `peek`: the open file of this process. */
  readonly fileDescriptor: number;
  /** For `peek`: length of each block of the source but the last. */
  readonly blockSizeBytes: number;
}

const JOB_WORDS = 9;

/** What the verbs of a thread work with. */
export interface VerbTools {
  readonly verbs: BlockVerbs;
  readonly digests: LaneDigests;
  readonly fingerprints: SlabFingerprints;
  readonly memory: SharedArrayBuffer;
}

/** Numbers that a job left behind. */
export interface VerbResult {
  readonly status: number;
  readonly isLz4: boolean;
  readonly storedBytes: number;
  readonly fingerprint: bigint;
  readonly digest: Uint8Array;
  readonly workMs: number;
}

/** Status of a `read` or `peek` that did not get all of its source. */
const READ_FAILED = 1;

const AT_STATUS = 0;
const AT_IS_LZ4 = 4;
const AT_STORED_BYTES = 8;
const AT_FINGERPRINT = 16;
const AT_WORK_MS = 24;
const AT_DIGEST = 32;
/** The state of the fingerprint; then the end of the block with its MD5 padding, while the digest is computed. */
const AT_TAIL: number = RESULT_BYTES - TAIL_BYTES;
/** What a `peek` found, behind the state; it needs no digest. */
const AT_FINGERPRINTS: number = RESULT_BYTES - MAX_PEEK_BLOCKS * FINGERPRINT_BYTES;
invariant(AT_FINGERPRINTS >= AT_TAIL + FINGERPRINT_STATE_BYTES, 'too many fingerprints a result');

export function encodeJobs(jobs: readonly VerbJob[]): number[] {
  return jobs.flatMap((job) => [
    job.verb,
    job.resultIndex,
    job.sourceOffset,
    job.sourceBytes,
    job.targetOffset,
    job.targetBytes,
    job.isLz4,
    job.fileDescriptor,
    job.blockSizeBytes,
  ]);
}

export function decodeJobs(words: readonly number[]): VerbJob[] {
  return Array.from({ length: words.length / JOB_WORDS }, (_, k) => {
    const at = k * JOB_WORDS;
    const word = (place: number): number => words[at + place] ?? 0;
    return {
      verb: word(0) as VerbJob['verb'],
      resultIndex: word(1),
      sourceOffset: word(2),
      sourceBytes: word(3),
      targetOffset: word(4),
      targetBytes: word(5),
      isLz4: word(6) as 0 | 1,
      fileDescriptor: word(7),
      blockSizeBytes: word(8),
    };
  });
}

/** Leaves the fingerprint of each block; all pass through the same room in the target. */
function peek(tools: VerbTools, job: VerbJob, out: DataView, stateOffset: number): void {
  const { sourceOffset, blockSizeBytes } = job;
  const endOffset = sourceOffset + job.sourceBytes;
  let at = AT_FINGERPRINTS;
  for (let offset = sourceOffset; offset < endOffset; offset += blockSizeBytes) {
    const sourceBytes = Math.min(blockSizeBytes, endOffset - offset);
    const block = { ...job, sourceOffset: offset, sourceBytes };
    const fingerprint = readBlock(tools, block, stateOffset);
    if (fingerprint === undefined) {
      out.setUint32(AT_STATUS, READ_FAILED, true);
      return;
    }
    out.setBigUint64(at, fingerprint, true);
    at += FINGERPRINT_BYTES;
  }
}

/**
 * What a job does by itself.
 *
 * @returns the block whose digest it still needs, if any
 */
function runVerb(tools: VerbTools, job: VerbJob, out: DataView): DigestJob | undefined {
  const { verbs, fingerprints, memory } = tools;
  const digestAt = {
    digestOffset: out.byteOffset + AT_DIGEST,
    tailOffset: out.byteOffset + AT_TAIL,
  };
  // The digest of a block is computed when its fingerprint is done.
  const stateOffset = digestAt.tailOffset;
  if (job.verb === VERB_HASH) {
    const fingerprint = fingerprints.of(job.sourceOffset, job.sourceBytes, stateOffset);
    out.setBigUint64(AT_FINGERPRINT, fingerprint, true);
    return undefined;
  }
  if (job.verb === VERB_PEEK) {
    peek(tools, job, out, stateOffset);
    return undefined;
  }
  if (job.verb === VERB_READ) {
    const fingerprint = readBlock(tools, job, stateOffset);
    out.setUint32(AT_STATUS, fingerprint === undefined ? READ_FAILED : 0, true);
    out.setBigUint64(AT_FINGERPRINT, fingerprint ?? 0n, true);
    return undefined;
  }
  if (job.verb === VERB_PACK) {
    const room = Buffer.from(memory, job.sourceOffset, job.targetBytes);
    const target = Buffer.from(memory, job.targetOffset, job.targetBytes);
    const form = verbs.pack(room, job.sourceBytes, target);
    out.setUint32(AT_IS_LZ4, form.codec === 'lz4' ? 1 : 0, true);
    out.setFloat64(AT_STORED_BYTES, form.storedBytes, true);
    return { sourceOffset: job.sourceOffset, sourceBytes: job.sourceBytes, ...digestAt };
  }
  const stored = Buffer.from(memory, job.sourceOffset, job.sourceBytes);
  const plain = Buffer.from(memory, job.targetOffset, job.targetBytes);
  const status = verbs.unpack(stored, job.isLz4 ? 'lz4' : 'plain', plain);
  out.setUint32(AT_STATUS, status, true);
  if (status !== 0) return undefined;
  const fingerprint = fingerprints.of(job.targetOffset, job.targetBytes, stateOffset);
  out.setBigUint64(AT_FINGERPRINT, fingerprint, true);
  return { sourceOffset: job.targetOffset, sourceBytes: job.targetBytes, ...digestAt };
}

function recordAt(memory: SharedArrayBuffer, resultIndex: number): DataView {
  return new DataView(memory, resultIndex * RESULT_BYTES, RESULT_BYTES);
}

/** Runs the jobs of one batch on this thread; yields between two of them. Results count when it has ended. */
export function* runJobs(tools: VerbTools, jobs: readonly VerbJob[]): Generator<void, void> {
  const { digests, memory } = tools;
  const blocks: DigestJob[] = [];
  const outs: DataView[] = [];
  for (const job of jobs) {
    const startedAtMs = performance.now();
    const out = recordAt(memory, job.resultIndex);
    out.setUint32(AT_STATUS, 0, true);
    const block = runVerb(tools, job, out);
    if (block) {
      blocks.push(block);
      outs.push(out);
    }
    out.setFloat64(AT_WORK_MS, performance.now() - startedAtMs, true);
    yield;
  }
  if (blocks.length === 0) return;
  const startedAtMs = performance.now();
  digests.run(blocks);
  const shareMs = (performance.now() - startedAtMs) / blocks.length;
  for (const out of outs) {
    out.setFloat64(AT_WORK_MS, out.getFloat64(AT_WORK_MS, true) + shareMs, true);
  }
}

/** Copies the numbers of a finished job out of the slab. */
export function readResult(memory: SharedArrayBuffer, resultIndex: number): VerbResult {
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

/** Copies what a finished `peek` found out of the slab; `undefined` when not all could be read. */
export function readFingerprints(
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
