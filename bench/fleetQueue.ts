/** Runs of a fleet against runs in one process: the same VMs, with and without a queue. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MIB } from '../src/core/units.ts';
import { ServerProcess } from '../test/helpers/s3/serverProcess.ts';
import { BenchChild } from './childProcess.ts';
import { removeAll } from './programs.ts';
import type { Bench, BenchCase, Outcome, PairResult } from './suite.ts';

const WORK = './fleetQueueWork.js';

interface Shape {
  readonly vms: number;
  readonly dataBytes: number;
  readonly workers: number;
  /** Sessions at once of each worker. */
  readonly places: number;
  /** YAML of `backup`. */
  readonly backup?: string;
  readonly timeScale?: number;
}

/** A lab, a server of the queue, workers, and planners. */
interface Rig {
  readonly folder: string;
  readonly url: string;
  readonly workers: readonly BenchChild[];
  readonly planner: BenchChild;
  readonly alone: BenchChild;
}

/** A redis-server on a socket, which keeps nothing. */
async function startServer(): Promise<{ server: ServerProcess; url: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'bench-redis-'));
  const socket = path.join(folder, 'socket');
  const args = ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', ''];
  const server = new ServerProcess({ name: 'redis', program: 'redis-server', args, folder });
  await server.waitFor(() => existsSync(socket) || undefined);
  return { server, url: `unix://${socket}` };
}

async function withRig(
  bench: Bench,
  shape: Shape,
  work: (rig: Rig) => Promise<void>,
): Promise<void> {
  const { vms, dataBytes, workers: count, places, backup, timeScale } = shape;
  const folder = path.join(bench.folder, `queue${vms}`);
  await mkdir(folder);
  using lab = await BenchChild.start('./fleetLab.js');
  const limits = `{ parallelVms: ${count * places} }`;
  await lab.call('start', {
    folder,
    vms,
    hosts: 4,
    domains: 1,
    limits,
    dataBytes,
    backup,
    timeScale,
  });
  const { server, url } = await startServer();
  using planner = await BenchChild.start(WORK);
  using alone = await BenchChild.start(WORK);
  const workers: BenchChild[] = [];
  try {
    for (let k = 0; k < count; k++) {
      const worker = await BenchChild.start(WORK);
      workers.push(worker);
      await worker.call('startWorker', { folder, url, parallelVms: places });
    }
    await work({ folder, url, workers, planner, alone });
    await lab.call('stop', {});
  } finally {
    for (const worker of workers) worker.close();
    await server.close();
    await removeAll(folder);
  }
}

async function cpuOf({ workers }: Rig): Promise<number> {
  const answers = await Promise.all(workers.map(async (one) => await one.call('cpuSeconds', {})));
  return answers.reduce((sum, { value }) => sum + (value as number), 0);
}

function queueCase(rig: Rig, name: string): BenchCase {
  const { folder, url, planner } = rig;
  return {
    name,
    run: async (): Promise<Outcome> => {
      const before = await cpuOf(rig);
      const { peakRssBytes: _, ...outcome } = await planner.run('run', { folder, url });
      const workers = (await cpuOf(rig)) - before;
      return { ...outcome, cpuSeconds: (outcome.cpuSeconds ?? 0) + workers };
    },
    reset: async () => void (await planner.call('reset', { folder })),
  };
}

function aloneCase({ folder, alone }: Rig, name: string): BenchCase {
  return {
    name,
    run: async () => await alone.run('run', { folder }),
    reset: async () => void (await alone.call('reset', { folder })),
  };
}

async function compare(bench: Bench, rig: Rig, shape: Shape, pairs: number): Promise<PairResult> {
  const { vms, dataBytes, workers, places } = shape;
  const bytes = vms * dataBytes;
  const processes = workers === 1 ? '1 worker' : `${workers} workers`;
  return await bench.compare({
    title: `first run of ${vms} VMs with ${dataBytes / MIB} MiB each: a queue against one process`,
    ours: queueCase(rig, `${processes} with ${places} sessions each`),
    peer: aloneCase(rig, `one process with ${workers * places} sessions`),
    readBytes: bytes,
    dataBytes: bytes,
    pairs,
  });
}

function overheadRow({ ours, peer }: PairResult, { vms }: Shape): string[] {
  const each = (own = Number.NaN, other = Number.NaN): string =>
    `${(((own - other) * 1000) / vms).toFixed(1)} ms`;
  return [String(vms), each(ours.seconds, peer.seconds), each(ours.cpuSeconds, peer.cpuSeconds)];
}

/** Throughput of workers, and what the queue costs for each VM. */
export async function measureQueues(bench: Bench): Promise<void> {
  const { isQuick } = bench;
  const data: Shape = {
    vms: isQuick ? 6 : 24,
    dataBytes: (isQuick ? 8 : 48) * MIB,
    workers: 2,
    places: 2,
    backup: '{ compression: default }',
    timeScale: 0.02,
  };
  await withRig(bench, data, async (rig) => {
    await compare(bench, rig, data, bench.pairsOf(7, 0));
  });
  const tiny: Shape = { vms: isQuick ? 10 : 200, dataBytes: MIB / 16, workers: 1, places: 1 };
  await withRig(bench, tiny, async (rig) => {
    const pair = await compare(bench, rig, tiny, bench.pairsOf(3, 0));
    bench.table({
      title: 'What the queue adds to a session, one at a time',
      header: ['VMs', 'time a VM', 'CPU a VM, planner and worker'],
      rows: [overheadRow(pair, tiny)],
    });
  });
}
