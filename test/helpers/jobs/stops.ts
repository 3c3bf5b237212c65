/** Limits and stops of runs. */
import type { JobConfig } from '../../../src/jobs/jobFile.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import type { ProgressEvent } from '../../../src/sessions/shared/progress.ts';
import type { JobBench } from './jobBench.ts';

export function limitsOf(parallelVms: number, perStorageDomain?: number): JobConfig['limits'] {
  return { parallelVms, perStorageDomain, perHost: undefined, bytesPerSecond: undefined };
}

/** The first time that a VM's session has ended. */
export function onceEnded(work: () => void): (event: ProgressEvent) => void {
  let isDone = false;
  return ({ type }) => {
    if (type !== 'ended' || isDone) return;
    isDone = true;
    work();
  };
}

/** A run that is stopped after its first session. */
export async function stopped(
  jobs: JobBench,
  job: JobConfig,
  trigger: RunReport['trigger'],
): Promise<RunReport> {
  const stop = new AbortController();
  return await jobs.run(job, {
    trigger,
    signal: stop.signal,
    onProgress: onceEnded(() => stop.abort()),
  });
}
