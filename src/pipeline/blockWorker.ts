/** Entry of a worker thread: takes batches of jobs on the shared slab, answers with the batch number. */
import { parentPort, workerData } from 'node:worker_threads';
import { createBlockVerbs } from './blockVerbs.ts';
import { LaneDigests } from './laneDigests.ts';
import { decodeJobs, runJobs, type VerbTools } from './verbJobs.ts';
import type { SharedWasmMemory, WasmModule } from './wasm.ts';

/** What a thread is started with. */
export interface WorkerSetup {
  readonly memory: SharedWasmMemory;
  readonly md5Kernel: WasmModule | undefined;
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

const { memory, md5Kernel } = workerData as WorkerSetup;
const tools: VerbTools = {
  verbs: await createBlockVerbs(),
  digests: new LaneDigests(memory, md5Kernel),
  memory: memory.buffer,
};

parentPort?.on('message', (batch: WorkerBatch) => {
  let error: string | undefined;
  try {
    for (const _ of runJobs(tools, decodeJobs(batch.words)));
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught);
  }
  parentPort?.postMessage({ batchId: batch.batchId, error } satisfies WorkerAnswer);
});
