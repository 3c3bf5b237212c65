import type { Queue } from 'bullmq';

/**
 * Removes jobs whose workers are gone. Those that a worker holds are locked, and stay. Reads ids
 * instead of jobs, because the queue shows no job whose data it has lost.
 */
export async function removeAbandoned(queue: Queue): Promise<void> {
  for (const id of await queue.getRanges(['active'], 0, -1)) await queue.remove(id);
}
