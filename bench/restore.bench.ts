/** Restore against `lz4 -d`, and verify. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { BenchChild } from './childProcess.ts';
import { LZ4, usablePeers } from './peers.ts';
import { makeFull, restoreCase, verifyCase } from './product.ts';
import { digestFile, programCase, removeAll } from './programs.ts';
import type { Bench, BenchCase, Topic } from './suite.ts';

function unlz4Case({ folder }: Bench, packed: string, isSynced: boolean): BenchCase {
  const out = path.join(folder, 'lz4.raw');
  const sync = isSynced ? ' && sync "$1"' : '';
  return programCase({
    name: isSynced ? 'lz4 -d; sync OUT' : 'lz4 -d',
    folder,
    command: ['sh', '-c', `lz4 -q -f -d "$0" "$1"${sync}`, packed, out],
    checksum: () => 'restored',
    prove: () => digestFile(out),
    reset: () => removeAll(out),
  });
}

function testCase({ folder }: Bench, packed: string): BenchCase {
  return programCase({
    name: 'lz4 -t',
    folder,
    command: ['lz4', '-q', '-t', packed],
    checksum: () => 'tested',
  });
}

/** The library in a process that had calls before, as in a service: Node and code are warm. */
async function compareWarm(bench: Bench, repository: string, packed: string): Promise<void> {
  using child = await BenchChild.start('./sessionWork.js');
  const { folder, workers, imageBytes: readBytes, imageDataBytes: dataBytes } = bench;
  const output = path.join(folder, 'restored-warm');
  const restored: BenchCase = {
    name: 'ovirt-cbt restore, warm process',
    run: () => child.run('restoreSession', { repository, output, workers }),
    prove: () => digestFile(path.join(output, readdirSync(output)[0] ?? '')),
    reset: () => removeAll(output),
  };
  const verified: BenchCase = {
    name: 'ovirt-cbt verify, warm process',
    run: () => child.run('verify', { repository, workers }),
  };
  const given = { readBytes, dataBytes, pairs: bench.pairsOf(7, 5) };
  const unpack = unlz4Case(bench, packed, false);
  const title = `restore without start-up against ${unpack.name}`;
  await bench.compare({ title, ours: restored, peer: unpack, ...given });
  const test = testCase(bench, packed);
  const verifyTitle = `verify without start-up against ${test.name}`;
  await bench.compare({ title: verifyTitle, ours: verified, peer: test, ...given });
  await removeAll(output);
}

async function run(bench: Bench): Promise<void> {
  const { image, folder } = bench;
  const bytes = { readBytes: bench.imageBytes, dataBytes: bench.imageDataBytes };
  if (usablePeers([LZ4], (reason) => bench.leaveOut(reason)).length === 0) return;
  const [repo, packed] = [path.join(folder, 'restore'), path.join(folder, 'restore.lz4')];
  makeFull(bench, { images: [image], repo });
  execFileSync('lz4', ['-q', '-f', '-1', image, packed]);
  const ours = restoreCase(bench, { repo });
  for (const isSynced of bench.isQuick ? [false] : [false, true]) {
    const pairs = bench.pairsOf(isSynced ? 5 : 7, 3);
    const peer = unlz4Case(bench, packed, isSynced);
    await bench.compare({ title: `restore against ${peer.name}`, ours, peer, ...bytes, pairs });
  }
  const verify = { ours: verifyCase(bench, repo), peer: testCase(bench, packed), ...bytes };
  await bench.compare({ title: 'verify against lz4 -t', ...verify, pairs: bench.pairsOf(7, 3) });
  await compareWarm(bench, repo, packed);
  await removeAll(repo, packed);
}

export const restore: Topic = { name: 'restore', run };
