/** A full of each kind of data. */
import path from 'node:path';
import { MIB } from '../src/core/units.ts';
import { copyPart, MIXES, writeMix } from './data.ts';
import { LZ4, lz4Case, usablePeers } from './peers.ts';
import { fullCase } from './product.ts';
import { removeAll } from './programs.ts';
import type { Bench, PairResult, Topic } from './suite.ts';

const FULL_BYTES = 512 * MIB;
const QUICK_BYTES = 16 * MIB;
const REAL = 'real files';

async function comparePart(bench: Bench, mix: string, file: string): Promise<PairResult> {
  const repo = path.join(bench.folder, 'mixes');
  const readBytes = bench.isQuick ? QUICK_BYTES : FULL_BYTES;
  return await bench.compare({
    title: `full of ${mix}`,
    ours: fullCase(bench, { name: 'ovirt-cbt full', images: [file], repo }),
    peer: lz4Case(bench, false, file),
    readBytes,
    dataBytes: readBytes,
    pairs: bench.pairsOf(3, 0),
  });
}

function rate({ readBytes }: PairResult, seconds: number): number {
  return readBytes / MIB / seconds;
}

async function run(bench: Bench): Promise<void> {
  if (usablePeers([LZ4], (reason) => bench.leaveOut(reason)).length === 0) return;
  const file = path.join(bench.folder, 'mix.raw');
  const sizeBytes = bench.isQuick ? QUICK_BYTES : FULL_BYTES;
  const results: PairResult[] = [];
  const chosen = bench.isQuick ? MIXES.slice(0, 2) : MIXES;
  for (const mix of chosen) {
    await writeMix(file, mix, sizeBytes);
    results.push(await comparePart(bench, mix, file));
  }
  copyPart(bench.image, file, 0, sizeBytes);
  results.push(await comparePart(bench, REAL, file));
  await removeAll(file);
  bench.plot({
    kind: 'bars',
    name: 'throughput-by-mix',
    title: 'Full by data mix, whole process',
    yLabel: 'MiB/s of bytes read',
    groups: [...chosen, REAL],
    series: [
      { name: 'ovirt-cbt', values: results.map((result) => rate(result, result.ours.seconds)) },
      { name: 'lz4 -1', values: results.map((result) => rate(result, result.peer.seconds)) },
    ],
  });
}

export const mixes: Topic = { name: 'mixes', run };
