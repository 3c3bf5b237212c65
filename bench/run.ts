/**
 * The benchmark suite: ratios against peers, measured in one run in interleaved pairs.
 *
 *   npm run bench -- [--quick] [--image FILE] [--pairs N] [--workers N]
 *
 * Absolute times are those of the machine and the moment; only the ratios are meant to be kept.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '../src/cli/output.ts';
import { formatBytes, MIB } from '../src/core/units.ts';
import { ceilingCases } from './ceiling.ts';
import { printDigests } from './digests.ts';
import { buildImage } from './image.ts';
import { type BenchCase, measurePairs, type PairResult } from './measure.ts';
import { hashText, programCase, removeAll } from './programs.ts';

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

interface Setting {
  readonly folder: string;
  readonly image: string;
  readonly workers: string;
}

/** Figures of a session report that have to repeat. */
function sessionChecksum(stdout: string): string {
  const report = JSON.parse(stdout) as {
    disks: readonly { readBytes: number; changedBytes: number; storedBytes: number }[];
  };
  return hashText(
    JSON.stringify(report.disks.map((d) => [d.readBytes, d.changedBytes, d.storedBytes])),
  );
}

function backupCase(setting: Setting, name: string, repo: string, fresh: boolean): BenchCase {
  const { image, workers, folder } = setting;
  const command = ['backup', '--image', image, '--name', 'bench', '--repo', repo];
  return programCase({
    name,
    command: [process.execPath, CLI, ...command, '--workers', workers, '--json'],
    restore: fresh ? () => removeAll(repo) : undefined,
    checksum: sessionChecksum,
    timeFile: path.join(folder, 'time.txt'),
  });
}

function lz4Case({ image, folder }: Setting): BenchCase {
  const out = path.join(folder, 'out.lz4');
  return programCase({
    name: 'lz4 -1 IMAGE OUT',
    command: ['lz4', '-q', '-f', '-1', image, out],
    restore: () => removeAll(out),
    checksum: async () => String((await stat(out)).size),
    timeFile: path.join(folder, 'time.txt'),
  });
}

function catCase({ image, folder }: Setting): BenchCase {
  return programCase({
    name: 'cat IMAGE >/dev/null',
    command: ['sh', '-c', 'cat "$0" >/dev/null', image],
    checksum: () => 'read',
    timeFile: path.join(folder, 'time.txt'),
  });
}

async function runAll(setting: Setting, pairs: number): Promise<PairResult[]> {
  const { folder, image, workers } = setting;
  const repos = ['full', 'control', 'compare'].map((name) => path.join(folder, name));
  const [fullRepo = '', controlRepo = '', compareRepo = ''] = repos;
  const full = backupCase(setting, 'ovirt-cbt full', fullRepo, true);
  const twin = backupCase(setting, 'ovirt-cbt full again', controlRepo, true);
  const results = [await measurePairs('A/A control', full, twin, pairs)];
  results.push(await measurePairs('full', full, lz4Case(setting), pairs));
  await backupCase(setting, 'first full', compareRepo, false).run();
  const compare = backupCase(setting, 'ovirt-cbt compare', compareRepo, false);
  results.push(await measurePairs('compare, unchanged', compare, catCase(setting), pairs));
  const { ours, peer } = ceilingCases(image, Number(workers));
  results.push(await measurePairs('streams against loop', ours, peer, pairs));
  return results;
}

function printResults(results: readonly PairResult[], imageBytes: number): void {
  const rows = results.map((result) => [
    result.title,
    result.ours,
    result.peer,
    result.speedRatio.toFixed(3),
    `${result.interval[0].toFixed(3)}..${result.interval[1].toFixed(3)}`,
    result.oursSeconds.toFixed(2),
    result.peerSeconds.toFixed(2),
    (imageBytes / MIB / result.oursSeconds).toFixed(0),
    result.peakRssBytes > 0 ? formatBytes(result.peakRssBytes) : '-',
    result.cpuSeconds > 0 ? (result.cpuSeconds / (imageBytes / 1024 ** 3)).toFixed(2) : '-',
  ]);
  const header = [
    'case',
    'ours',
    'peer',
    'times as fast',
    '95 %',
    's ours',
    's peer',
    'MiB/s ours',
    'peak RSS',
    'CPU s/GiB',
  ];
  process.stdout.write(`${formatTable(header, rows)}\n`);
}

async function checksumOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: MIB }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      image: { type: 'string' },
      pairs: { type: 'string' },
      workers: { type: 'string', default: '2' },
    },
  });
  const folder = await mkdtemp(path.join(tmpdir(), 'ovirt-cbt-bench-'));
  try {
    const image = values.image ?? (await buildImage(folder, values.quick));
    const { size } = await stat(image);
    // Reads the image once, which also brings it into the page cache, where every case finds it.
    const checksum = await checksumOf(image);
    process.stdout.write(
      `image ${formatBytes(size)}, SHA-256 ${checksum}; Node ${process.version}; ${values.workers} workers\n`,
    );
    const pairs = Number(values.pairs ?? (values.quick ? 3 : 11));
    const results = await runAll({ folder, image, workers: values.workers }, pairs);
    printResults(results, size);
    await printDigests();
    process.stdout.write(`${JSON.stringify(results)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
