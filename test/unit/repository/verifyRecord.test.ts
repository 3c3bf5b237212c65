/** The record of verify: its size is bounded, and it is written while others delete leftovers. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { writeDurableShared } from '../../../src/store/folder/durableFile.ts';
import {
  EMPTY_RECORD,
  readVerifyRecord,
  updateVerifyRecord,
  type VerifiedContainer,
} from '../../../src/repository/damage/verifyRecord.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';
import { DiskFolder } from '../../../src/store/folder/diskFolder.ts';

const temp = useTempFolder();

function container(blockCount: number, pointCount: number): VerifiedContainer {
  const neededBy = Array.from({ length: pointCount }, (_, k) => `point ${k}`);
  return {
    fileName: 'vm.vbk',
    pointId: 'p1',
    sizeBytes: 1,
    modifiedAtMs: 1,
    verifiedAt: '2026-11-22T17:00:00.000Z',
    sampleRatio: 1,
    checkedBlocks: blockCount,
    skippedBlocks: 0,
    storedBytesRead: 0,
    plainBytes: 0,
    findingCount: blockCount,
    problems: [],
    damagedBlocks: Array.from({ length: blockCount }, (_, blockId) => {
      return { blockId, code: 'INTEGRITY_CRC_MISMATCH', message: 'rotten', neededBy };
    }),
    isTruncated: false,
  };
}

test('a record comes back as it was written', async () => {
  const folder = temp.make('vm');
  const containers = [container(3, 2)];

  await updateVerifyRecord(new DiskFolder(folder), (record) => ({ ...record, containers }));

  expect(await readVerifyRecord(new DiskFolder(folder))).toEqual({ ...EMPTY_RECORD, containers });
});

test('a record that would be too large keeps the first blocks, and says so', async () => {
  const folder = temp.make('vm');
  const containers = [container(9000, 300), container(10, 300)];

  await updateVerifyRecord(new DiskFolder(folder), (record) => ({ ...record, containers }));

  const kept = (await readVerifyRecord(new DiskFolder(folder))).containers;
  expect(kept.map((entry) => entry.damagedBlocks.length)).toEqual([1000, 10]);
  expect(kept.map((entry) => entry.isTruncated)).toEqual([true, false]);
  expect(kept[0]?.damagedBlocks[0]).not.toHaveProperty('neededBy');
  expect(kept[0]?.findingCount).toBe(9000);
});

test('a file that is written without the lock survives who deletes leftovers', async () => {
  const folder = temp.make('vm');
  const target = path.join(folder, 'verify.json');
  const written = writeDurableShared(target, 'content');
  const partial = (): string | undefined =>
    readdirSync(folder).find((name) => name.endsWith('.partial'));
  while (!partial() && !readdirSync(folder).includes('verify.json')) await nextTurn();
  const leftover = partial();
  if (leftover) rmSync(path.join(folder, leftover), { force: true });

  await written;

  expect(leftover).toBeDefined();
  expect(readFileSync(target, 'utf8')).toBe('content');
  expect(readdirSync(folder)).toEqual(['verify.json']);
});

test('several writers at once leave one whole file', async () => {
  const folder = temp.make('vm');
  const target = path.join(folder, 'verify.json');
  const contents = Array.from({ length: 8 }, (_, k) => String(k).repeat(10_000));

  await Promise.all(contents.map((content) => writeDurableShared(target, content)));

  expect(contents).toContain(readFileSync(target, 'utf8'));
  expect(readdirSync(folder)).toEqual(['verify.json']);
});
