import type { Queue } from 'bullmq';

/** Removes jobs whose workers are gone. Those that a worker holds are locked, and stay. */
export async function removeAbandoned(queue: Queue): Promise<void> {
  for (const { id = '' } of await queue.getActive()) await queue.remove(id);
}
