/** Entry of a worker thread: takes batches of jobs on the shared slab, answers with the batch number. */
import { parentPort, workerData } from 'node:worker_threads';
import type { SlabKernels } from './kernels/slabKernels.ts';
import { createThreadTools } from './threadTools.ts';
import { decodeJobs } from './workerJobs.ts';
import { runJobs } from './runJobs.ts';
import type { SharedWasmMemory } from './kernels/wasm.ts';

/** What a thread is started with. */
export interface WorkerSetup {
  readonly memory: SharedWasmMemory;
  readonly kernels: SlabKernels;
}

export interface WorkerBatch {
  readonly batchId: number;
  readonly words: readonly number[];
}

/** `error` is the text of an unexpected failure; expected ones are numbers in the result records. */
export interface WorkerAnswer {
  readonly batchId: number;
  readonly error?: string | undefined;
}

const { memory, kernels } = workerData as WorkerSetup;
const tools = await createThreadTools(memory, kernels);

parentPort?.on('message', (batch: WorkerBatch) => {
  let error: string | undefined;
  try {
    for (const _ of runJobs(tools, decodeJobs(batch.words)));
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught);
  }
  parentPort?.postMessage({ batchId: batch.batchId, error } satisfies WorkerAnswer);
});
