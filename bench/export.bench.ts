/** Restore points over NBD: whole disks against restore, single reads, start with a long chain. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { scaleTimings } from '../src/index.ts';
import { KIB, TIB } from '../src/core/units.ts';
import { BenchChild } from './childProcess.ts';
import type { LabAccess } from './labWork.ts';
import { NbdClient } from './nbdClient.ts';
import { exportCase, exportCommand, makeFull, restoreCase } from './product.ts';
import { isInstalled, removeAll } from './programs.ts';
import type { Bench, Topic } from './suite.ts';

const READ_BYTES = 4 * KIB;
const TIME_SCALE = 0.05;
const BIG_DISK_BYTES = 64 * TIB;
const BIG_DISK_BLOCKS = 1024;
/** Sessions over data all over the disk would take long: each of them reads the whole index. */
const DATA_WITHIN_BYTES = TIB;
const CHANGED_BLOCKS = 64;

/** A server on a Unix socket. It ends with the work on it. */
async function withServer<T>(
  command: readonly string[],
  socket: string,
  work: () => Promise<T>,
): Promise<T> {
  const [program = '', ...args] = command;
  const server = spawn(program, args, { stdio: 'ignore' });
  const ended = once(server, 'exit');
  try {
    while (!existsSync(socket)) {
      if (server.exitCode !== null) throw new Error(`${program}: exit code ${server.exitCode}`);
      await sleep(2);
    }
    return await work();
  } finally {
    server.kill('SIGINT');
    await ended;
  }
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}

/** Times of reads at random places, in ms, ascending. The places are the same each time. */
async function readRandomly(socket: string, count: number): Promise<number[]> {
  using client = await NbdClient.open(socket);
  const pages = Math.floor(client.sizeBytes / READ_BYTES);
  const times: number[] = [];
  let state = 1;
  for (let k = 0; k < count; k++) {
    state = (state * 48_271) % 2_147_483_647;
    const startedAtMs = performance.now();
    await client.read((state % pages) * READ_BYTES, READ_BYTES);
    times.push(performance.now() - startedAtMs);
  }
  return times.toSorted((a, b) => a - b);
}

function latencyRow(name: string, times: readonly number[]): string[] {
  return [name, ...[0.5, 0.9, 0.99].map((share) => quantile(times, share).toFixed(3))];
}

/** The restored image lies in the page cache, and so do our containers. */
async function measureReads(bench: Bench, repo: string): Promise<void> {
  const [socket, peer] = ['reads.sock', 'peer.sock'].map((name) => path.join(bench.folder, name));
  if (socket === undefined || peer === undefined) return;
  const count = bench.isQuick ? 200 : 3000;
  const ours = await withServer(exportCommand(bench, repo, socket), socket, () =>
    readRandomly(socket, count),
  );
  const rows = [latencyRow('ovirt-cbt export', ours)];
  if (isInstalled('nbdkit')) {
    const nbdkit = ['nbdkit', '-f', '-r', '-U', peer, 'file', bench.image];
    const times = await withServer(nbdkit, peer, () => readRandomly(peer, count));
    rows.push(latencyRow('nbdkit file, restored image', times));
  } else bench.leaveOut('nbdkit: not installed (Debian package nbdkit)');
  bench.table({
    title: `${count} reads of 4 KiB at random places, one at a time, ms`,
    header: ['server', 'median', '90 %', '99 %'],
    rows,
  });
  await removeAll(socket, peer);
}

/** From the start of the process until the first bytes of the disk. */
async function measureStart(bench: Bench): Promise<void> {
  const [repository, socket] = [
    path.join(bench.folder, 'big'),
    path.join(bench.folder, 'big.sock'),
  ];
  const increments = bench.isQuick ? 3 : 100;
  using lab = await BenchChild.start('./labWork.js');
  const disk = {
    sizeBytes: BIG_DISK_BYTES,
    blocks: BIG_DISK_BLOCKS,
    dataWithinBytes: DATA_WITHIN_BYTES,
  };
  const access = (await lab.call('start', disk)).value as LabAccess;
  const engine = { ...access.engine, timings: scaleTimings(TIME_SCALE) };
  using sessions = await BenchChild.start('./sessionWork.js');
  for (let point = 0; point <= increments; point++) {
    if (point > 0) await lab.call('change', { blocks: CHANGED_BLOCKS });
    const given = { engine, vm: access.vm, repository, workers: bench.workers };
    await sessions.call('session', given);
  }
  await lab.call('stop', {});
  const times: number[] = [];
  for (let k = 0; k < (bench.isQuick ? 1 : 5); k++) {
    const startedAtMs = performance.now();
    await withServer(exportCommand(bench, repository, socket, 'sparse'), socket, async () => {
      using client = await NbdClient.open(socket);
      await client.read(0, READ_BYTES);
      times.push((performance.now() - startedAtMs) / 1000);
    });
  }
  bench.table({
    title: `A disk of 64 TiB with ${increments} increments of ${CHANGED_BLOCKS} MiB: start until the first 4 KiB, s`,
    header: ['median', 'highest'],
    rows: [
      [
        quantile(
          times.toSorted((a, b) => a - b),
          0.5,
        ),
        Math.max(...times),
      ].map((s) => s.toFixed(2)),
    ],
  });
  await removeAll(repository);
}

async function run(bench: Bench): Promise<void> {
  const { image, folder } = bench;
  const repo = path.join(folder, 'export');
  await mkdir(folder, { recursive: true });
  makeFull(bench, { images: [image], repo });
  if (isInstalled('nbdcopy')) {
    await bench.compare({
      title: 'nbdcopy from the export to null against restore to a file',
      ours: exportCase(bench, repo),
      peer: restoreCase(bench, { repo }),
      readBytes: bench.imageBytes,
      dataBytes: bench.imageDataBytes,
      pairs: bench.pairsOf(7, 3),
    });
  } else bench.leaveOut('nbdcopy: not installed (Debian package libnbd-bin)');
  await measureReads(bench, repo);
  await removeAll(repo);
  await measureStart(bench);
}

export const exports: Topic = { name: 'export', run };
