/** Worker threads: where their code is, and how much memory they may take. */
import { type ResourceLimits, Worker } from 'node:worker_threads';

/** A thread has little on its heap. Its blocks lie in the slab. */
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 } as const;

/**
 * Starts a thread. Errors of the system pass unchanged.
 *
 * @param moduleUrl - `import.meta.url` of the caller.
 * @param entry - compiled file of the thread, relative to the caller.
 */
export function startThread(
  moduleUrl: string,
  entry: string,
  workerData: object,
  limits: ResourceLimits = LIMITS,
): Worker {
  // In tests the caller runs as TypeScript, and only dist has the compiled file.
  const isSource = moduleUrl.endsWith('.ts');
  const base = isSource ? moduleUrl.replace(/\/src\/(?!.*\/src\/)/, '/dist/') : moduleUrl;
  return new Worker(new URL(entry, base), { workerData, execArgv: [], resourceLimits: limits });
}
