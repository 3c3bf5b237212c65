/**
 * A session that finds nothing changed, against plain reading and against second backups of peers.
 */
import path from 'node:path';
import { BORG, RESTIC, secondRun, usablePeers } from './peers.ts';
import { compareCase, makeFull } from './product.ts';
import { programCase } from './programs.ts';
import type { Bench, BenchCase, Topic } from './suite.ts';

function catCase({ image, folder }: Bench): BenchCase {
  return programCase({
    name: 'cat IMAGE >/dev/null',
    folder,
    command: ['sh', '-c', 'cat "$0" >/dev/null', image],
    checksum: () => 'read',
  });
}

async function run(bench: Bench): Promise<void> {
  const { image, folder } = bench;
  const bytes = { readBytes: bench.imageBytes, dataBytes: bench.imageDataBytes };
  const spec = { images: [image], repo: path.join(folder, 'compare') };
  makeFull(bench, spec);
  const ours = compareCase(bench, { name: 'ovirt-cbt compare, nothing changed', ...spec });
  const pairs = bench.pairsOf(11, 9);
  await bench.compare({
    title: 'compare against cat',
    ours,
    peer: catCase(bench),
    ...bytes,
    pairs,
  });
  for (const peer of usablePeers([BORG, RESTIC], (reason) => bench.leaveOut(reason))) {
    const title = `compare against ${peer.name}, second run`;
    const second = await secondRun(peer, bench);
    await bench.compare({ title, ours, peer: second, ...bytes, pairs: bench.pairsOf(3, 0) });
  }
}

export const compare: Topic = { name: 'compare', run };
