/**
 * Checks file systems in restored images with their own checkers. A mounted file system leaves a
 * journal that is not replayed yet. A checker that may not write reports this as damage. So e2fsck
 * and the guest's kernel first replay the journal, in copies of the restored image and of the
 * frozen view.
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { expectIdentical } from '../bench.ts';
import { copyOut, type ImageFile } from '../qemu/qemu.ts';
import { replayJournals } from './guest.ts';

/** Stops the clock of e2fsprogs. Otherwise it writes different times into equal images. */
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

/** The journal is not replayed yet. Otherwise the guest did not write: the test proves nothing. */
function expectUnfinished(kind: FileSystemKind, image: string): void {
  const sign = kind === 'ext4' ? 'skipping journal recovery' : 'valuable metadata changes in a log';
  expect(check(kind, image).output).toContain(sign);
}

function rawCopy(from: string, to: string): ImageFile {
  copyOut({ path: from, format: 'raw' }, to);
  return { path: to, format: 'raw' };
}

/** e2fsck replays the journal of both images, in copies. The copies must have equal bytes then. */
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
    // 1 means: the journal was replayed, and counters that depend on it were corrected.
    expect([0, 1], output).toContain(status);
    expectClean('ext4', to);
  }
  expectIdentical({ path: ours, format: 'raw' }, theirs);
  for (const file of [ours, theirs]) rmSync(file);
}

/**
 * Replays the journals of restored images and of their references, and compares their files.
 * @param folder - for copies
 * @param bootFolder - kernel and initial RAM disk of the guest
 * @returns the number of files in the last image
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
