/** A full of a real image against programs that people use instead. */
import path from 'node:path';
import { BenchChild } from './childProcess.ts';
import { NBDCOPY_FILE, NBDCOPY_NULL, VIRTNBDBACKUP } from './nbdPeers.ts';
import {
  BORG,
  BORG_FIXED,
  CONVERT,
  CONVERT_ZSTD,
  LZ4,
  LZ4_SYNCED,
  lz4Case,
  type Peer,
  RESTIC,
  usablePeers,
} from './peers.ts';
import { fullCase, proveRepository } from './product.ts';
import { removeAll } from './programs.ts';
import type { Bench, BenchCase, Topic } from './suite.ts';

interface Rival {
  readonly peer: Peer;
  /** Pairs in the full form. Slow peers get few pairs. */
  readonly pairs: number;
  /** Pairs in the quick form; by default one warm-up only. */
  readonly quickPairs?: number;
  /** True for another setting of a peer. The quick form leaves it out. */
  readonly isVariant?: boolean;
}

const RIVALS: readonly Rival[] = [
  { peer: LZ4, pairs: 11, quickPairs: 3 },
  { peer: LZ4_SYNCED, pairs: 5, isVariant: true },
  { peer: CONVERT, pairs: 5 },
  { peer: CONVERT_ZSTD, pairs: 2 },
  { peer: NBDCOPY_NULL, pairs: 3 },
  { peer: NBDCOPY_FILE, pairs: 3, isVariant: true },
  { peer: BORG, pairs: 3 },
  { peer: BORG_FIXED, pairs: 2, isVariant: true },
  { peer: RESTIC, pairs: 3 },
  { peer: VIRTNBDBACKUP, pairs: 3 },
];

/** The library in a process that had sessions before, as in a service: Node and code are warm. */
async function compareWarm(bench: Bench): Promise<void> {
  using child = await BenchChild.start('./sessionWork.js');
  const { image, imageBytes: readBytes, imageDataBytes: dataBytes, workers } = bench;
  const repository = path.join(bench.folder, 'warm');
  const ours: BenchCase = {
    name: 'ovirt-cbt full, warm process',
    run: () => child.run('imageSession', { image, repository, workers }),
    prove: () => proveRepository(bench, { repo: repository }),
    reset: () => removeAll(repository),
  };
  const peer = lz4Case(bench, false);
  const pairs = bench.pairsOf(7, 5);
  const title = 'full without start-up against lz4 -1';
  await bench.compare({ title, ours, peer, readBytes, dataBytes, pairs });
}

/**
 * Proves the restored bytes once: our case is in every pair. Its checksums are compared each time.
 */
function provedOnce(benchCase: BenchCase): BenchCase {
  let proof: Promise<string> | undefined;
  return { ...benchCase, prove: () => (proof ??= benchCase.prove?.() ?? Promise.resolve('')) };
}

async function run(bench: Bench): Promise<void> {
  const repo = path.join(bench.folder, 'full');
  const { imageBytes: readBytes, imageDataBytes: dataBytes, image } = bench;
  const ours = provedOnce(fullCase(bench, { name: 'ovirt-cbt full', images: [image], repo }));
  const again = { ...ours, name: 'ovirt-cbt full again' };
  const control = { ours, peer: again, readBytes, dataBytes };
  await bench.compare({ title: 'A/A control: full', ...control, pairs: bench.pairsOf(5, 0) });
  const rivals = RIVALS.filter(({ isVariant = false }) => !(bench.isQuick && isVariant));
  const usable = usablePeers(
    rivals.map(({ peer }) => peer),
    (reason) => bench.leaveOut(reason),
  );
  if (usable.includes(LZ4)) await compareWarm(bench);
  for (const { peer, pairs, quickPairs = 0 } of rivals) {
    if (!usable.includes(peer)) continue;
    const spec = {
      title: `full against ${peer.name}`,
      ours,
      peer: await peer.make(bench),
      readBytes,
      dataBytes,
    };
    await bench.compare({ ...spec, pairs: bench.pairsOf(pairs, quickPairs) });
  }
}

export const full: Topic = { name: 'full', run };
