/**
 * Entry of a worker thread. It does batches of jobs on the shared slab and answers with the number
 * of the batch.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { Compression } from './compression.ts';
import type { SlabKernels } from './kernels/slabKernels.ts';
import { loadZstd } from './codecs/zstd.ts';
import { decodeJobs, JOB_CODECS, type WorkerJob } from './workerJobs.ts';
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

const ZSTD_NUMBER = JOB_CODECS.indexOf('zstd');

function run(batchId: number, jobs: readonly WorkerJob[]): void {
  let error: string | undefined;
  try {
    for (const _ of runJobs(tools, jobs));
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught);
  }
  parentPort?.postMessage({ batchId, error } satisfies WorkerAnswer);
}

parentPort?.on('message', ({ batchId, words }: WorkerBatch) => {
  const jobs = decodeJobs(words);
  if (!jobs.some((job) => job.codecNumber === ZSTD_NUMBER)) {
    run(batchId, jobs);
    return;
  }
  // The thread of the session has loaded the decoder before. Without it, the blocks count as bad.
  void loadZstd()
    .catch(() => {})
    .then(() => run(batchId, jobs));
});
