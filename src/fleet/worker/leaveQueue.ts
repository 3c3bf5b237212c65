import type { Job } from 'bullmq';

/**
 * Takes a job that is over out of the queue.
 *
 * @param token - of its delivery. The queue may have forgotten it, as when this process slept.
 * @throws for a job that another delivery holds, and for one that the queue has forgotten
 */
export async function leaveQueue(job: Job, token: string): Promise<void> {
  await job.moveToCompleted('', token, false).catch(async () => await job.remove());
}
