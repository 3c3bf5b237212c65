/** Time of a full by size of the disk: the start-up, and the part that grows. */
import path from 'node:path';
import { GIB, MIB, roundUp } from '../src/core/units.ts';
import { copyPart, dataBytesOf } from './data.ts';
import { LZ4, lz4Case, usablePeers } from './peers.ts';
import { fullCase } from './product.ts';
import { removeAll } from './programs.ts';
import type { Bench, PairResult, Topic } from './suite.ts';

const SHARES = [1 / 16, 1 / 4, 1 / 2, 1];
const QUICK_SHARES = [1];

async function run(bench: Bench): Promise<void> {
  if (usablePeers([LZ4], (reason) => bench.leaveOut(reason)).length === 0) return;
  const [file, repo] = [path.join(bench.folder, 'size.raw'), path.join(bench.folder, 'sizes')];
  const results: PairResult[] = [];
  for (const share of bench.isQuick ? QUICK_SHARES : SHARES) {
    const readBytes = roundUp(bench.imageBytes * share, MIB);
    copyPart(bench.image, file, 0, readBytes);
    const spec = {
      title: `full of ${(readBytes / MIB).toFixed(0)} MiB`,
      ours: fullCase(bench, { name: 'ovirt-cbt full', images: [file], repo }),
      peer: lz4Case(bench, false, file),
      readBytes,
      dataBytes: await dataBytesOf(file),
      pairs: bench.pairsOf(3, 0),
    };
    results.push(await bench.compare(spec));
  }
  await removeAll(file);
  const line = (pick: (result: PairResult) => number): { x: number; y: number }[] =>
    results.map((result) => ({ x: result.readBytes / GIB, y: pick(result) }));
  bench.plot({
    kind: 'lines',
    name: 'time-by-size',
    title: 'Full of a real image, whole process',
    xLabel: 'size of the disk, GiB',
    yLabel: 'seconds',
    series: [
      { name: 'ovirt-cbt', points: line((result) => result.ours.seconds) },
      { name: 'lz4 -1', points: line((result) => result.peer.seconds) },
    ],
  });
}

export const sizes: Topic = { name: 'sizes', run };
