/** Inputs and results of the methods of a worker pool. */
import type { SharedWasmMemory } from './kernels/wasm.ts';
import type { ReadCodec, StoredCodec } from './storedForm.ts';

/**
 * The shared memory that a pool works on; a `Slab` has this shape. Its result records lie at its
 * start.
 */
export interface JobMemory {
  readonly memory: SharedWasmMemory;
  /** Bytes of each slot, a multiple of 4096. */
  readonly slotBytes: number;
  /** Slots for packed blocks: no more blocks can be packed at the same time. */
  readonly packedCount: number;
}

/** Room for one block in that memory; a `Slot` of a slab has this shape. */
export interface JobSlot {
  /** Number of the slot, which is also the number of its result record. */
  readonly slotIndex: number;
  readonly bytes: Uint8Array;
}

/** Result of `WorkerPool.hash`. */
export interface HashResult {
  readonly fingerprint: bigint;
  /** CPU time of the job. The other results have the same field. */
  readonly workMs: number;
}

/** A byte range of a file that this process has open. */
export interface FileRange {
  readonly fileDescriptor: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Result of `WorkerPool.read`. */
export interface ReadResult {
  /** False when not all of the range could be read. The content of the slot is then undefined. */
  readonly isWhole: boolean;
  /** xxHash64 with seed 0; 0 for a block of zeros. */
  readonly fingerprint: bigint;
}

/** Result of `WorkerPool.pack`. */
export interface PackResult {
  readonly workMs: number;
  readonly codec: StoredCodec;
  readonly storedBytes: number;
  readonly digest: Uint8Array;
}

/** Length and codec of a stored block. */
export interface StoredForm {
  readonly storedBytes: number;
  readonly codec: ReadCodec;
}

/** Result of `WorkerPool.expand`. */
export interface ExpandResult {
  readonly workMs: number;
  /**
   * 0, or one of the UNPACK_ values of storedForm.ts. After another value than 0, digest and
   * fingerprint are not valid.
   */
  readonly status: number;
  readonly fingerprint: bigint;
}

/** Result of `WorkerPool.unpack`. */
export interface UnpackResult extends ExpandResult {
  readonly digest: Uint8Array;
}
