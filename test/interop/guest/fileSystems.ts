/**
 * File systems in restored images, judged by their own checkers. An image of a mounted file system has a journal that
 * is not replayed yet, and a checker that may not write calls that damage; so it is replayed in copies first, by e2fsck and by
 * the guest's kernel, of the restored image and of the frozen view alike.
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { replayJournals } from './guest.ts';
import { copyOut, type ImageFile, qemuImg } from '../qemu/qemu.ts';

/** The clock of e2fsprogs, so that it writes the same bytes into equal images. */
const FIXED_CLOCK = { E2FSCK_TIME: '1700000000', E2FSPROGS_FAKE_TIME: '1700000000' };

export type FileSystemKind = 'ext4' | 'xfs';

export interface FileSystemImage {
  readonly kind: FileSystemKind;
  readonly restoredPath: string;
  readonly referencePath: string;
}

interface Checked {
  readonly status: number | null;
  readonly output: string;
}

function run(tool: string, ...args: readonly string[]): Checked {
  const env = { ...process.env, ...FIXED_CLOCK };
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: 'utf8', env });
  return { status, output: `${stdout}${stderr}` };
}

function check(kind: FileSystemKind, image: string): Checked {
  return kind === 'ext4' ? run('e2fsck', '-fn', image) : run('xfs_repair', '-n', image);
}

function expectClean(kind: FileSystemKind, image: string): void {
  const { status, output } = check(kind, image);
  expect(status, output).toBe(0);
}

/** Otherwise nothing was being written, and the test is worth nothing. */
function expectUnfinished(kind: FileSystemKind, image: string): void {
  const sign = kind === 'ext4' ? 'skipping journal recovery' : 'valuable metadata changes in a log';
  expect(check(kind, image).output).toContain(sign);
}

function rawCopy(from: string, to: string): ImageFile {
  copyOut({ path: from, format: 'raw' }, to);
  return { path: to, format: 'raw' };
}

/** e2fsck replays the journal itself; both copies have to be the same afterwards, to the byte. */
function expectRepairedAlike(
  folder: string,
  { restoredPath, referencePath }: FileSystemImage,
): void {
  const [ours, theirs] = [path.join(folder, 'ours.fsck'), path.join(folder, 'theirs.fsck')];
  for (const [from, to] of [
    [restoredPath, ours],
    [referencePath, theirs],
  ] as const) {
    rawCopy(from, to);
    const { status, output } = run('e2fsck', '-fy', to);
    // 1: it has replayed the journal, and corrected what hangs on it.
    expect([0, 1], output).toContain(status);
    expectClean('ext4', to);
  }
  const compared = qemuImg('compare', '-f', 'raw', '-F', 'raw', ours, theirs);
  expect(compared).toBe('Images are identical.\n');
  for (const file of [ours, theirs]) rmSync(file);
}

/**
 * Replays the journals of restored images and of their references, and compares what is in them.
 * @param folder - for copies
 * @returns how many files the last image holds
 */
export function expectSameFileSystems(
  folder: string,
  bootFolder: string,
  images: readonly FileSystemImage[],
): number {
  for (const image of images) {
    expectUnfinished(image.kind, image.restoredPath);
    if (image.kind === 'ext4') expectRepairedAlike(folder, image);
  }
  const copies = images.flatMap(({ restoredPath, referencePath }, at) => [
    rawCopy(restoredPath, path.join(folder, `ours${at}.replayed`)),
    rawCopy(referencePath, path.join(folder, `theirs${at}.replayed`)),
  ]);
  const replayed = replayJournals(bootFolder, copies);
  for (const [at, { kind }] of images.entries()) {
    const [ours, theirs] = replayed.slice(2 * at, 2 * at + 2);
    expect(ours?.files.length).toBeGreaterThan(0);
    expect(ours).toEqual(theirs);
    expect(ours?.isUnmounted).toBe(true);
    for (const copy of copies.slice(2 * at, 2 * at + 2)) expectClean(kind, copy.path);
  }
  for (const { path: file } of copies) rmSync(file);
  return replayed.at(-1)?.files.length ?? 0;
}
