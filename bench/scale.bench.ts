/** Time and memory grow with dirty bytes, points and blocks, and not with the size of the disk. */
import path from 'node:path';
import { scaleTimings } from '../src/index.ts';
import { formatBytes, GIB, MIB, TIB } from '../src/core/units.ts';
import { BenchChild, callOnce, type ChildAnswer } from './childProcess.ts';
import { writeMix } from './data.ts';
import type { LabAccess } from './labWork.ts';
import { fullCase, verifyCase } from './product.ts';
import { removeAll } from './programs.ts';
import type { PointCosts } from './scaleWork.ts';
import type { SessionAnswer, SessionArgument } from './sessionWork.ts';
import type { Bench, Topic } from './suite.ts';

/**
 * Shortens the clients' pauses, because the lab's engine is fast. Reads of data keep a long limit.
 */
const TIME_SCALE = 0.05;
const READ_MS = 60_000;
const CHAIN_IMAGE_BYTES = 64 * MIB;
/** Share of the data that the guest overwrites between two sessions. */
const CHANGED_SHARE = 0.01;

function rss({ peakRssBytes }: { readonly peakRssBytes?: number | undefined }): string {
  return formatBytes(peakRssBytes ?? Number.NaN);
}

/** Measures whole processes of the command line over raw images of half random data. */
async function measureImages(bench: Bench): Promise<void> {
  const sizes = bench.isQuick ? [32 * MIB] : [GIB, 6 * GIB];
  const [file, repo] = ['scale.raw', 'scale'].map((name) => path.join(bench.folder, name));
  if (file === undefined || repo === undefined) return;
  const rows: string[][] = [];
  for (const sizeBytes of sizes) {
    await writeMix(file, 'half random', sizeBytes);
    const full = fullCase(bench, { name: 'full', images: [file], repo });
    const [first, second] = [await full.run(), await full.run()];
    const verify = await verifyCase(bench, repo).run();
    rows.push([
      formatBytes(sizeBytes),
      ...[first, second, verify].flatMap((outcome) => [outcome.seconds.toFixed(2), rss(outcome)]),
    ]);
    await removeAll(file, repo);
  }
  const steps = ['full', 'compare, unchanged', 'verify'];
  bench.table({
    title: 'Raw images of half random data: time and peak RSS of the process',
    header: ['size', ...steps.flatMap((step) => [`${step}, s`, 'peak RSS'])],
    rows,
  });
}

function sessionCells({ value, peakRssBytes }: ChildAnswer): string[] {
  const { sessionSeconds, readBytes, mode } = value as SessionAnswer;
  return [mode, formatBytes(readBytes), sessionSeconds.toFixed(2), formatBytes(peakRssBytes)];
}

/** Measures the same data in disks of very different size, through the lab's engine. */
async function measureSparse(bench: Bench, sizeBytes: number, blocks: number): Promise<string[][]> {
  using lab = await BenchChild.start('./labWork.js');
  const access = (await lab.call('start', { sizeBytes, blocks })).value as LabAccess;
  const repository = path.join(bench.folder, 'sparse');
  const given: SessionArgument = {
    engine: { ...access.engine, timings: { ...scaleTimings(TIME_SCALE), imageioReadMs: READ_MS } },
    vm: access.vm,
    repository,
    workers: bench.workers,
  };
  const full = await callOnce('./sessionWork.js', 'session', given);
  const changed = Math.ceil(blocks * CHANGED_SHARE);
  await lab.call('change', { blocks: changed });
  const increment = await callOnce('./sessionWork.js', 'session', given);
  const verify = await callOnce('./sessionWork.js', 'verify', {
    repository,
    workers: bench.workers,
  });
  await lab.call('stop', {});
  await removeAll(repository);
  const size = formatBytes(sizeBytes);
  return [
    [size, ...sessionCells(full)],
    [size, ...sessionCells(increment)],
    [size, 'verify of both', '-', verify.seconds.toFixed(2), rss(verify)],
  ];
}

async function measureDisks(bench: Bench): Promise<void> {
  const blocks = bench.isQuick ? 32 : 1024;
  const sizes = bench.isQuick ? [64 * TIB] : [2 * GIB, TIB, 64 * TIB];
  const rows: string[][] = [];
  for (const sizeBytes of sizes) rows.push(...(await measureSparse(bench, sizeBytes, blocks)));
  bench.table({
    title: `Sparse disks with ${formatBytes(blocks * MIB)} of data, then 1 % of it changed, behind the lab's engine`,
    header: ['virtual size', 'mode', 'bytes read', 'session s', 'peak RSS of the client'],
    rows,
  });
}

async function measureChain(bench: Bench): Promise<void> {
  const { folder, workers, isQuick } = bench;
  const imageBytes = isQuick ? 8 * MIB : CHAIN_IMAGE_BYTES;
  const chosen = isQuick ? [1, 3] : [1, 10, 25, 50, 101];
  const points = chosen.at(-1) ?? 1;
  const argument = { folder, imageBytes, points, workers };
  const made = (await callOnce('./scaleWork.js', 'makeChain', argument)).value as {
    digest: string;
  };
  const rows: string[][] = [];
  for (const point of chosen) {
    const used = await callOnce('./scaleWork.js', 'usePoint', { folder, point, workers });
    const { digest, ...costs } = used.value as PointCosts;
    if (point === points && digest !== made.digest) throw new Error('the last point differs');
    const ms = Object.values(costs).map((seconds) => (seconds * 1000).toFixed(1));
    rows.push([String(point), ...ms, rss(used)]);
  }
  await removeAll(path.join(folder, 'chain'), path.join(folder, 'chain.raw'));
  bench.table({
    title: `A chain over an image of ${formatBytes(imageBytes)} in blocks of 256 KiB, 10 changed blocks a point`,
    header: ['files of the point', 'open, ms', 'compose, ms', 'restore, ms', 'peak RSS'],
    rows,
  });
}

const BLOCK_HEADER = [
  'blocks',
  'append, s',
  'commit, s',
  'peak RSS of the writer',
  'open, s',
  'all references, s',
  'peak RSS of the reader',
  'metadata on disk',
];

async function measureBlocks(bench: Bench): Promise<void> {
  const file = path.join(bench.folder, 'blocks.vbk');
  const rows: string[][] = [];
  for (const blocks of bench.isQuick ? [10_000] : [1_000_000, 10_000_000]) {
    const given = { file, blocks };
    const written = await callOnce('./scaleWork.js', 'writeBlocks', given);
    const { allocatedBytes, ...times } = written.value as { allocatedBytes: number };
    const read = await callOnce('./scaleWork.js', 'readBlocks', given);
    const { checksum: _, ...readTimes } = read.value as { checksum: string };
    rows.push([
      String(blocks),
      ...Object.values(times as Record<string, number>).map((seconds) => seconds.toFixed(2)),
      rss(written),
      ...Object.values(readTimes as Record<string, number>).map((seconds) => seconds.toFixed(2)),
      rss(read),
      formatBytes(allocatedBytes),
    ]);
    await removeAll(file);
  }
  bench.table({
    title: 'Containers with many different blocks; their bytes are left out of the file',
    header: BLOCK_HEADER,
    rows,
  });
}

async function run(bench: Bench): Promise<void> {
  await measureImages(bench);
  await measureDisks(bench);
  await measureChain(bench);
  await measureBlocks(bench);
}

export const scale: Topic = { name: 'scale', run };
