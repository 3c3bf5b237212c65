/** Does the jobs of a batch one after the other, then computes all their digests together. */
import { createBlockCodecs } from './blockCodecs.ts';
import { readBlock } from './blockFileRead.ts';
import type { Compression } from './compression.ts';
import { type DigestJob, LaneDigests } from './kernels/laneDigests.ts';
import { FINGERPRINT_BYTES, SlabFingerprints } from './kernels/slabFingerprints.ts';
import type { SlabKernels } from './kernels/slabKernels.ts';
import type { SharedWasmMemory } from './kernels/wasm.ts';
import {
  AT_DIGEST,
  AT_FINGERPRINT,
  AT_FINGERPRINTS,
  AT_IS_LZ4,
  AT_STATUS,
  AT_STORED_BYTES,
  AT_TAIL,
  AT_WORK_MS,
  READ_FAILED,
  recordAt,
} from './resultRecord.ts';
import {
  JOB_CODECS,
  JOB_EXPAND,
  JOB_HASH,
  JOB_PACK,
  JOB_FINGERPRINT_RANGE,
  JOB_READ,
  type WorkerJob,
  type ThreadTools,
} from './workerJobs.ts';

/**
 * Writes the fingerprint of each block into the result record. All blocks are read into the same
 * room.
 */
function fingerprintRange(
  tools: ThreadTools,
  job: WorkerJob,
  out: DataView,
  stateOffset: number,
): void {
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
 * Does one job, except its digest.
 *
 * @returns the block whose digest is still needed, if there is one
 */
function runJob(tools: ThreadTools, job: WorkerJob, out: DataView): DigestJob | undefined {
  const { codecs, fingerprints, memory } = tools;
  const digestAt = {
    digestOffset: out.byteOffset + AT_DIGEST,
    tailOffset: out.byteOffset + AT_TAIL,
  };
  // The state may share the room of the tail: the digest starts after the fingerprint is finished.
  const stateOffset = digestAt.tailOffset;
  if (job.kind === JOB_HASH) {
    const fingerprint = fingerprints.of(job.sourceOffset, job.sourceBytes, stateOffset);
    out.setBigUint64(AT_FINGERPRINT, fingerprint, true);
    return undefined;
  }
  if (job.kind === JOB_FINGERPRINT_RANGE) {
    fingerprintRange(tools, job, out, stateOffset);
    return undefined;
  }
  if (job.kind === JOB_READ) {
    const fingerprint = readBlock(tools, job, stateOffset);
    out.setUint32(AT_STATUS, fingerprint === undefined ? READ_FAILED : 0, true);
    out.setBigUint64(AT_FINGERPRINT, fingerprint ?? 0n, true);
    return undefined;
  }
  if (job.kind === JOB_PACK) {
    const room = Buffer.from(memory, job.sourceOffset, job.targetBytes);
    const target = Buffer.from(memory, job.targetOffset, job.targetBytes);
    const form = codecs.pack(room, job.sourceBytes, target);
    out.setUint32(AT_IS_LZ4, form.codec === 'lz4' ? 1 : 0, true);
    out.setFloat64(AT_STORED_BYTES, form.storedBytes, true);
    return { sourceOffset: job.sourceOffset, sourceBytes: job.sourceBytes, ...digestAt };
  }
  const stored = Buffer.from(memory, job.sourceOffset, job.sourceBytes);
  const plain = Buffer.from(memory, job.targetOffset, job.targetBytes);
  const status = codecs.unpack(stored, JOB_CODECS[job.codecNumber] ?? 'plain', plain);
  out.setUint32(AT_STATUS, status, true);
  if (status !== 0) return undefined;
  const fingerprint = fingerprints.of(job.targetOffset, job.targetBytes, stateOffset);
  out.setBigUint64(AT_FINGERPRINT, fingerprint, true);
  if (job.kind === JOB_EXPAND) return undefined;
  return { sourceOffset: job.targetOffset, sourceBytes: job.targetBytes, ...digestAt };
}

/**
 * Does the jobs of one batch on this thread; yields after each. The results are valid only when the
 * generator has ended.
 */
export function* runJobs(tools: ThreadTools, jobs: readonly WorkerJob[]): Generator<void, void> {
  const { digests, memory } = tools;
  const blocks: DigestJob[] = [];
  const outs: DataView[] = [];
  for (const job of jobs) {
    const startedAtMs = performance.now();
    const out = recordAt(memory, job.resultIndex);
    out.setUint32(AT_STATUS, 0, true);
    const block = runJob(tools, job, out);
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

/** Loads the tools of one thread. Every thread needs a set of its own. */
export async function createThreadTools(
  memory: SharedWasmMemory,
  kernels: SlabKernels,
  compression: Compression,
): Promise<ThreadTools> {
  const codecs = await createBlockCodecs(compression);
  return {
    codecs,
    digests: new LaneDigests(memory, kernels.md5),
    fingerprints: new SlabFingerprints(memory, kernels.xxh64, codecs),
    memory: memory.buffer,
  };
}
