/** Entry of a worker thread: takes batches of jobs on the shared slab, answers with the batch number. */
import { parentPort, workerData } from 'node:worker_threads';
import { createBlockVerbs } from './blockVerbs.ts';
import type { SharedWasmMemory } from './slab.ts';
import { decodeJobs, runJob } from './verbJobs.ts';

export interface WorkerBatch {
  readonly batchId: number;
  readonly words: readonly number[];
}

/** `error` is the text of an unexpected failure; expected ones are numbers in the result records. */
export interface WorkerAnswer {
  readonly batchId: number;
  readonly error?: string | undefined;
}

const { memory } = workerData as { memory: SharedWasmMemory };
const verbs = await createBlockVerbs();

parentPort?.on('message', (batch: WorkerBatch) => {
  let error: string | undefined;
  try {
    for (const job of decodeJobs(batch.words)) runJob(verbs, memory.buffer, job);
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught);
  }
  parentPort?.postMessage({ batchId: batch.batchId, error } satisfies WorkerAnswer);
});
