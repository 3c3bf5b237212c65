/**
 * A worker of a fleet, and runs with and without a queue. For child processes. The product is that
 * of dist: planner and worker read its version from the package.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { silentLogger } from '../src/core/log.ts';
import { scaleTimings } from '../src/index.ts';
import type { OpenRunner } from '../src/jobs/run/runners.ts';
import { readStat } from './cpuWatch.ts';
import { removeAll } from './programs.ts';

async function compiled<T>(module: string): Promise<T> {
  return (await import(new URL(`../../dist/${module}.js`, import.meta.url).href)) as T;
}

const { openFleet } =
  await compiled<typeof import('../src/fleet/planner/fleet.ts')>('fleet/planner/fleet');
const { runWorker } =
  await compiled<typeof import('../src/fleet/worker/worker.ts')>('fleet/worker/worker');
const { readJobFile } =
  await compiled<typeof import('../src/jobs/config/readJobFile.ts')>('jobs/config/readJobFile');
const { conductRun } =
  await compiled<typeof import('../src/jobs/run/conductRun.ts')>('jobs/run/conductRun');
const { StateFolder } =
  await compiled<typeof import('../src/jobs/state/stateFolder.ts')>('jobs/state/stateFolder');

/** Shortens the pauses of the engine's client. Those of the fleet are as they are. */
const ENGINE_TIMINGS = scaleTimings(0.05);

const tools = { signal: new AbortController().signal, logger: silentLogger, onMessage: () => {} };

export interface WorkerArgument {
  /** With the job file. */
  readonly folder: string;
  readonly url: string;
  readonly parallelVms: number;
}

function jobFileIn(folder: string): string {
  return path.join(folder, 'ovirt-cbt.yaml');
}

/** Returns when the worker takes sessions. It works until the process ends. */
export async function startWorker({ folder, url, parallelVms }: WorkerArgument): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    runWorker({
      ...tools,
      settings: { url },
      file: jobFileIn(folder),
      parallelVms,
      labels: [],
      engineTimings: ENGINE_TIMINGS,
      onNote: () => {},
      onReady: () => resolve(),
    }).catch(reject);
  });
}

/** CPU time of this process and of its processes, also of those that have ended. */
export async function cpuSeconds(): Promise<number> {
  const list = `/proc/${process.pid}/task/${process.pid}/children`;
  const pids = [process.pid, ...readFileSync(list, 'utf8').split(' ').filter(Boolean)];
  const seconds = pids.map((pid) => {
    const stat = readStat(`/proc/${pid}/stat`);
    return (stat?.cpuSeconds ?? 0) + (stat?.endedCpuSeconds ?? 0);
  });
  return await Promise.resolve(seconds.reduce((sum, one) => sum + one, 0));
}

async function runJob(folder: string, openRunner: OpenRunner | undefined): Promise<string> {
  const file = await readJobFile(jobFileIn(folder));
  const job = file.jobs.get('nightly');
  if (!job) throw new Error('the job is missing');
  const state = await StateFolder.open(file);
  const timings = ENGINE_TIMINGS;
  const report = await conductRun({
    ...tools,
    file,
    job,
    trigger: 'command',
    state,
    timings,
    openRunner,
  });
  const failed = report.vms.find((vm) => vm.report === undefined);
  if (failed) throw new Error(`${failed.vmName}: ${failed.failure?.message}`);
  const read = report.vms.flatMap((vm) => vm.report?.disks ?? []).map((disk) => disk.readBytes);
  return `${report.vms.length} VMs, ${read.reduce((sum, one) => sum + one, 0)} bytes`;
}

/**
 * A first run of all VMs.
 *
 * @param given - with a URL, workers do the sessions
 */
export async function run(given: {
  readonly folder: string;
  readonly url?: string;
}): Promise<{ checksum: string; seconds: number }> {
  const { folder, url } = given;
  const startedAtMs = performance.now();
  const fleet = url === undefined ? undefined : await openFleet({ url }, tools);
  const checksum = await runJob(folder, fleet?.openRunner);
  await fleet?.[Symbol.asyncDispose]();
  return { checksum, seconds: (performance.now() - startedAtMs) / 1000 };
}

/** Removes what a run has made. */
export async function reset({ folder }: { readonly folder: string }): Promise<void> {
  await removeAll(path.join(folder, 'repository'), path.join(folder, 'state'));
}
