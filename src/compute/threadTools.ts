/** Loads the tools that a thread needs for its jobs. */
import { createBlockCodecs } from './blockCodecs.ts';
import type { Compression } from './compression.ts';
import { LaneDigests } from './kernels/laneDigests.ts';
import { SlabFingerprints } from './kernels/slabFingerprints.ts';
import type { SlabKernels } from './kernels/slabKernels.ts';
import type { ThreadTools } from './workerJobs.ts';
import type { SharedWasmMemory } from './kernels/wasm.ts';

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
