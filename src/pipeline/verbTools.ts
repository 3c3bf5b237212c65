/** What a thread needs for the verbs. */
import { createBlockVerbs } from './blockVerbs.ts';
import { LaneDigests } from './laneDigests.ts';
import { SlabFingerprints } from './slabFingerprints.ts';
import type { SlabKernels } from './slabKernels.ts';
import type { VerbTools } from './verbJobs.ts';
import type { SharedWasmMemory } from './wasm.ts';

/** One set a thread. */
export async function createVerbTools(
  memory: SharedWasmMemory,
  kernels: SlabKernels,
): Promise<VerbTools> {
  const verbs = await createBlockVerbs();
  return {
    verbs,
    digests: new LaneDigests(memory, kernels.md5),
    fingerprints: new SlabFingerprints(memory, kernels.xxh64, verbs),
    memory: memory.buffer,
  };
}
