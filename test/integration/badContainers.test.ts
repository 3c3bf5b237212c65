/** Damaged, lost and foreign containers on the command line, and outputs that cannot be written. */
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { expectFailure, runCli } from '../helpers/cli/cli.ts';
import { SECOND, useCliChain } from '../helpers/cli/cliChain.ts';
import { firstExtent, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { flipBit, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectRestored } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const chain = useCliChain(temp);

function cutEnd(file: string): void {
  truncateSync(file, statSync(file).size - 4096);
}

describe('a container', () => {
  test.each([
    ['cut short', () => cutEnd(chain.increment())],
    ['cut to less than a page', () => truncateSync(chain.increment(), 100)],
    ['empty', () => truncateSync(chain.increment(), 0)],
    ['with a damaged first page', () => flipBit(chain.increment(), 4)],
    ['of an unknown version', () => flipBit(chain.increment(), 0, 5)],
    ['lost', () => rmSync(chain.increment())],
    ['that is another one', () => renameSync(chain.full(), chain.increment())],
  ])('%s as the parent of mode incremental', async (name, damage) => {
    damage();

    const result = await runCli(chain.backupArgs('--mode', 'incremental'));

    expectFailure(result, 'CHAIN_PARENT_DAMAGED', EXIT_CODES.failed);
    if (name !== 'that is another one') await chain.expectFirstPointKept();
  });

  test('that does not verify as the parent leads to a new full and exit code 3', async () => {
    cutEnd(chain.increment());

    const result = await runCli(chain.backupArgs());

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(result.stderr).toMatch(/^error: REPO-501 /);
    expect(pointsOf(chain.repository).map((point) => point.type)).toEqual([
      'full',
      'increment',
      'full',
    ]);
    await expectRestored(chain.repository, { a: SECOND });
    await chain.expectFirstPointKept();
  });

  test.each([
    ['of plain text', () => noise(1, 10_000), 'FORMAT_BAD_MAGIC'],
    ['of a few bytes', () => noise(1, 10), 'FORMAT_TRUNCATED'],
    ['of no bytes', () => Buffer.alloc(0), 'FORMAT_TRUNCATED'],
  ])('%s cannot be inspected', async (_name, content, code) => {
    const file = writeImage(temp.path('x.vbk'), content());

    const result = await runCli(['inspect', file]);

    expectFailure(result, code, EXIT_CODES.failed);
    expect(result.stderr).toContain('is not a VBK or VIB container');
    expect(result.stderr).not.toContain('ovirt-cbt inspect');
  });

  test('that is cut off gets a hint that names no inspect', async () => {
    const file = writeImage(temp.path('x.vbk'), readFileSync(chain.increment()).subarray(0, 6000));

    const result = await runCli(['inspect', file]);

    expectFailure(result, 'FORMAT_TRUNCATED', EXIT_CODES.failed);
    expect(result.stderr).not.toContain('ovirt-cbt inspect');
  });

  test.each([
    ['of an unknown version', 0, 5, 'FORMAT_UNSUPPORTED'],
    ['with blocks of an impossible size', 0x10b, 0, 'FORMAT_BOUNDS'],
  ])('%s cannot be inspected', async (_name, offsetBytes, bit, code) => {
    flipBit(chain.increment(), offsetBytes, bit);

    const result = await runCli(['inspect', chain.increment()]);

    expectFailure(result, code, EXIT_CODES.failed);
    expect(result.stderr).not.toContain('ovirt-cbt inspect');
  });

  test('that is a folder cannot be inspected', async () => {
    expectFailure(await runCli(['inspect', temp.path()]), 'REPOSITORY_IO', EXIT_CODES.failed);
  });

  test.each([
    ['a plain block', 'plain', 100, 'INTEGRITY_DIGEST_MISMATCH'],
    ['the header of a compressed block', 'lz4', 0, 'INTEGRITY_DECODE_FAILED'],
    ['the checksum of a compressed block', 'lz4', 5, 'INTEGRITY_CRC_MISMATCH'],
  ] as const)('with a flipped bit in %s is no source', async (_name, codec, shift, code) => {
    const full = chain.full();
    flipBit(full, (await firstExtent(full, codec)).offsetBytes + shift, 4);

    const restored = await runCli(chain.restoreArgs('--point', chain.firstPoint));
    const verified = await runCli(['verify', '--repo', chain.repository, '--point', 'all']);

    expectFailure(restored, code, EXIT_CODES.failed);
    expect(verified.exitCode).toBe(EXIT_CODES.damageFound);
    expect(verified.stdout).toContain(code);
  });

  test.each([
    ['lost', () => rmSync(chain.full()), 'CHAIN_PARENT_MISSING'],
    ['swapped', () => renameSync(chain.increment(), chain.full()), 'INTEGRITY_DIGEST_MISMATCH'],
  ])('that is %s is no source', async (_name, damage, code) => {
    damage();

    expectFailure(
      await runCli(chain.restoreArgs('--point', chain.firstPoint)),
      code,
      EXIT_CODES.failed,
    );
  });
});

describe('the output of a restore', () => {
  test('that exists is kept', async () => {
    mkdirSync(temp.path('out'));
    writeImage(temp.path('out', 'a'), Buffer.from('precious'));

    expectFailure(await runCli(chain.restoreArgs()), 'USAGE_OUTPUT_EXISTS', EXIT_CODES.usage);
  });

  test('that is no folder is refused', async () => {
    expectFailure(
      await runCli(chain.restoreArgs('--output', chain.image)),
      'OUTPUT_IO',
      EXIT_CODES.failed,
    );
  });

  test.each([
    ['missing', undefined, 'TOOL_MISSING', EXIT_CODES.usage],
    ['failing', '#!/bin/sh\n[ "$1" = --version ]\n', 'TOOL_FAILED', EXIT_CODES.failed],
  ])('as qcow2 needs a qemu-img that is not %s', async (_name, script, code, exitCode) => {
    const tools = temp.make('tools');
    if (script) writeFileSync(path.join(tools, 'qemu-img'), script, { mode: 0o755 });

    const result = await runCli(chain.restoreArgs('--format', 'qcow2'), { PATH: tools });

    expectFailure(result, code, exitCode);
  });
});
