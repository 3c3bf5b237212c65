/** `--compression`: sizes, and chains whose points have different ones. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Compression } from '../../src/compute/compression.ts';
import { loadLz4 } from '../../src/compute/lz4Binding.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { backupArgs, exitErrorOf, runCli } from '../helpers/cli/cli.ts';
import { expectCode } from '../helpers/codes.ts';
import { BLOCK_BYTES, blocks, writeImage } from '../helpers/bytes/images.ts';
import { wordText } from '../helpers/bytes/random.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { backup, expectClean, expectRestored } from '../helpers/repository/imageSessions.ts';
import { pruneTo, synthesize } from '../helpers/repository/prunes.ts';
import { pointsOf, vmFoldersOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
/** Without the native build there is no `high`. */
const HIGH: Compression = loadLz4().isNative ? 'high' : 'default';
const LEVELS = [...new Set<Compression>(['none', 'default', HIGH])];

/** A block of text for each seed, a block of noise, a block of zeros, and a part of a block. */
function imageOf(...seeds: readonly number[]): Buffer {
  const texts = seeds.map((seed) => wordText(seed, BLOCK_BYTES));
  return Buffer.concat([...texts, blocks('N0'), wordText(99, 10_000)]);
}

/** Of the sessions after a full with `none`. */
const MIXED: readonly Compression[] = [HIGH, 'default', 'none'];

const FIRST = imageOf(1, 2, 3);
/** Content of the sessions after the full: one more block is another one each time. */
const NEXT = [imageOf(4, 2, 3), imageOf(4, 5, 3), imageOf(4, 5, 6)];

let repository = '';
let image = '';
beforeEach(() => {
  repository = temp.path('repo');
  image = temp.path('a');
});

function storedOf(report: SessionReport | undefined): number {
  return report?.disks[0]?.storedBytes ?? 0;
}

async function backUp(content: Buffer, compression: Compression): Promise<SessionReport> {
  writeImage(image, content);
  const isFirst = pointsOf(repository).length === 0;
  const size = isFirst ? ['--block-size', String(BLOCK_BYTES)] : [];
  const flags = ['--compression', compression, '--json', ...size];
  const result = await runCli(backupArgs(repository, image, '--workers', '1', ...flags));
  expect(result.stderr).not.toContain('"exit_error"');
  expect(result.exitCode).toBe(EXIT_CODES.done);
  return JSON.parse(result.stdout) as SessionReport;
}

describe('a full', () => {
  test.each(LEVELS)('with compression %s is restored to the byte', async (compression) => {
    await backUp(FIRST, compression);

    await expectRestored(repository, { a: FIRST });
    await expectClean(repository);
  });

  test('takes less room the more it is compressed', async () => {
    const sizes: number[] = [];
    for (const compression of LEVELS) {
      repository = temp.path(compression);
      sizes.push(storedOf(await backUp(FIRST, compression)));
    }

    expect(sizes[0]).toBe(FIRST.length - BLOCK_BYTES);
    expect(sizes).toEqual([...new Set(sizes)].toSorted((a, b) => b - a));
    expect(sizes).toHaveLength(LEVELS.length);
  });

  test('has the default compression when none is given', async () => {
    const given = await backUp(FIRST, 'default');
    repository = temp.path('other');

    const usual = await backup(repository, image);

    expect(storedOf(usual)).toBe(storedOf(given));
  });
});

async function mixedChain(): Promise<SessionReport[]> {
  const reports = [await backUp(FIRST, 'none')];
  for (const [k, compression] of MIXED.entries()) {
    reports.push(await backUp(NEXT[k] ?? FIRST, compression));
  }
  return reports;
}

describe('a chain of several compressions', () => {
  test('stores only changes, and restores each point to the byte', async () => {
    const reports = await mixedChain();

    const increments = reports.slice(1);
    const changedBytes = increments.map(({ disks }) => disks[0]?.changedBytes);
    expect(changedBytes).toEqual(NEXT.map(() => BLOCK_BYTES));
    expect(increments.map((report) => storedOf(report) < BLOCK_BYTES)).toEqual([true, true, false]);
    for (const [k, { pointId }] of reports.entries()) {
      await expectRestored(repository, { a: [FIRST, ...NEXT][k] ?? FIRST }, { point: pointId });
    }
    await expectClean(repository);
  });

  test('is merged by prune, with the blocks as they were stored', async () => {
    const [full, ...increments] = await mixedChain();

    await pruneTo(repository, [3]);

    await expectRestored(repository, { a: NEXT[2] ?? FIRST });
    await expectClean(repository);
    // The increments replaced the three blocks of text of the full.
    const kept = storedOf(full) - 3 * BLOCK_BYTES;
    const storedBytes = increments.reduce((sum, report) => sum + storedOf(report), kept);
    expect(pointsOf(repository).map(({ disks }) => disks[0]?.storedBytes)).toEqual([storedBytes]);
  });

  test('becomes a full by synthesize', async () => {
    await mixedChain();

    await synthesize(repository);

    await expectRestored(repository, { a: NEXT[2] ?? FIRST });
    await expectClean(repository);
  });
});

describe('a value that does not exist', () => {
  test('is refused with those that do, and nothing is made', async () => {
    writeImage(image, FIRST);

    const result = await runCli(backupArgs(repository, image, '--compression', 'fast', '--json'));

    const { code, message } = exitErrorOf(result);
    expect([code, result.exitCode]).toEqual(['USAGE_INVALID_OPTION', EXIT_CODES.usage]);
    expect(message).toContain("'fast' is invalid. Allowed choices are none, default, high.");
    expect(vmFoldersOf(repository)).toEqual([]);
  });

  test('is refused by the library', async () => {
    writeImage(image, FIRST);
    const compression = 'best' as Compression;

    const error = await expectCode(
      backup(repository, image, { compression }),
      'USAGE_INVALID_OPTION',
    );

    expect(error.message).toBe('compression: "best" does not exist');
    expect(vmFoldersOf(repository)).toEqual([]);
  });
});

describe('a VM', () => {
  const bench = useLab();

  test('has a compression for each of its sessions', async () => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 4 << 20 }] });
    const disk = vm.disk('sys');
    disk.write(0, wordText(7, BLOCK_BYTES));

    const full = await bench.backup(vm, { compression: 'none' });
    disk.write(BLOCK_BYTES, wordText(8, BLOCK_BYTES));
    const increment = await bench.backup(vm, { compression: HIGH });

    expect(storedOf(full)).toBe(BLOCK_BYTES);
    expect(increment.disks[0]).toMatchObject({ mode: 'incremental', changedBytes: BLOCK_BYTES });
    expect(storedOf(increment)).toBeLessThan(BLOCK_BYTES);
    const checkpointId = increment.engine?.toCheckpointId ?? '';
    await bench.expectRestored(vm, { sys: vm.frozenView(checkpointId, 'sys') });
  });
});
