/** Fingerprints for a thread that fills slots itself, and has no other job of a worker. */
import { InternalError } from '../core/errors.ts';
import { SlabFingerprints } from './kernels/slabFingerprints.ts';
import { compileSlabKernels } from './kernels/slabKernels.ts';
import type { SharedWasmMemory, WasmModule } from './kernels/wasm.ts';
import type { JobMemory } from './poolTypes.ts';

export interface FingerprintSetup {
  /** Memory of the slab. */
  readonly memory: SharedWasmMemory;
  /** The compiled kernel; undefined where this machine cannot execute it. */
  readonly xxh64: WasmModule | undefined;
}

/** Compiles the kernel. */
export function fingerprintSetup({ memory }: Pick<JobMemory, 'memory'>): FingerprintSetup {
  return { memory, xxh64: compileSlabKernels().xxh64 };
}

/** Bytes in the slab. */
export interface SlabPlace {
  /** Byte offset in the slab. */
  readonly placeOffset: number;
  readonly lengthBytes: number;
}

/**
 * Returns the fingerprint of a block: xxHash64 with seed 0, and 0 for zeros only. `stateOffset` is
 * the byte offset of `fingerprintStateOffset` for its slot.
 */
export type SlotFingerprint = (place: SlabPlace, stateOffset: number) => bigint;

const noFallback = (): never => {
  throw new InternalError('INTERNAL_INVARIANT', 'fingerprints without a kernel');
};

/** Undefined without the kernel: the comparer then computes the fingerprints later. */
export function createSlotFingerprint(setup: FingerprintSetup): SlotFingerprint | undefined {
  const { memory, xxh64 } = setup;
  if (!xxh64) return undefined;
  const fingerprints = new SlabFingerprints(memory, xxh64, { startFingerprint: noFallback });
  let zeros = Buffer.alloc(0);
  return ({ placeOffset, lengthBytes }, stateOffset) => {
    if (zeros.length < lengthBytes) zeros = Buffer.alloc(lengthBytes);
    const block = Buffer.from(memory.buffer, placeOffset, lengthBytes);
    if (block.equals(zeros.subarray(0, lengthBytes))) return 0n;
    return fingerprints.of(placeOffset, lengthBytes, stateOffset);
  };
}
