/**
 * Entry of a worker thread. It does batches of jobs on the shared slab and answers with the number
 * of the batch.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { Compression } from './compression.ts';
import type { SlabKernels } from './kernels/slabKernels.ts';
import { decodeJobs } from './workerJobs.ts';
import { createThreadTools, runJobs } from './runJobs.ts';
import type { SharedWasmMemory } from './kernels/wasm.ts';

/** Data given to a thread at its start. */
export interface WorkerSetup {
  readonly memory: SharedWasmMemory;
  readonly kernels: SlabKernels;
  readonly compression: Compression;
}

/** Message to a thread: one batch of jobs, as numbers (see `encodeJobs`). */
export interface WorkerBatch {
  readonly batchId: number;
  readonly words: readonly number[];
}

/**
 * Answer of a thread. `error` is the text of an unexpected failure; expected failures are numbers
 * in the result records.
 */
export interface WorkerAnswer {
  readonly batchId: number;
  readonly error?: string | undefined;
}

const { memory, kernels, compression } = workerData as WorkerSetup;
const tools = await createThreadTools(memory, kernels, compression);

parentPort?.on('message', (batch: WorkerBatch) => {
  let error: string | undefined;
  try {
    for (const _ of runJobs(tools, decodeJobs(batch.words)));
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught);
  }
  parentPort?.postMessage({ batchId: batch.batchId, error } satisfies WorkerAnswer);
});
