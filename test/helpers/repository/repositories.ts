/** Sessions over small images, and looks into the repository they leave. Everything runs on the main thread. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { decodeVbm } from '../../../src/repository/pointXml.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import {
  backupImages,
  type BackupImagesOptions,
} from '../../../src/sessions/backup/backupImages.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { restoreImages } from '../../../src/sessions/restore/restoreImages.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES, sha256, sha256OfFile } from '../bytes/images.ts';

export const VM = 'vm';

/** Backs images up as {@link VM}; a full gets the smallest block size unless told otherwise. */
export async function backup(
  repository: string,
  images: string | readonly string[],
  options: Partial<BackupImagesOptions> = {},
): Promise<SessionReport> {
  const isFirst = pointsOf(repository).length === 0;
  return await backupImages({
    repository,
    images: typeof images === 'string' ? [images] : images,
    vmName: VM,
    workers: 0,
    ...(isFirst && { blockSizeBytes: BLOCK_BYTES }),
    ...options,
  });
}

/** Folders of VMs in a repository; none when there is no repository. */
export function vmFoldersOf(repository: string): string[] {
  try {
    return readdirSync(repository, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => path.join(repository, entry.name));
  } catch {
    return [];
  }
}

/** The folder of the only VM. */
export function vmFolderOf(repository: string): string {
  const [folder, ...others] = vmFoldersOf(repository);
  expect(others).toEqual([]);
  return folder ?? '';
}

/** Names in the folder of the only VM, sorted. */
export function filesOf(repository: string, suffix = ''): string[] {
  const folder = vmFoldersOf(repository)[0];
  if (!folder) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(suffix))
    .toSorted();
}

/** Path of the only file with this ending in the folder of the only VM. */
export function onlyFileOf(repository: string, suffix: string): string {
  const names = filesOf(repository, suffix);
  expect(names).toHaveLength(1);
  return path.join(vmFolderOf(repository), names[0] ?? '');
}

/** Restore points of the only VM as its .vbm lists them. */
export function pointsOf(repository: string): readonly RestorePoint[] {
  if (filesOf(repository, '.vbm').length === 0) return [];
  const vbm = onlyFileOf(repository, '.vbm');
  return decodeVbm(readFileSync(vbm, 'utf8'), vbm).points;
}

let restoreCount = 0;

/** Restores a point beside the repository; returns the folder of the images. */
export async function restore(
  repository: string,
  options: { readonly point?: string; readonly disks?: readonly string[]; workers?: number } = {},
): Promise<string> {
  const output = `${repository}.restored.${restoreCount++}`;
  await restoreImages({ repository, vm: VM, output, workers: 0, ...options });
  return output;
}

/** Expects a point to restore to exactly these images, by file name. */
export async function expectRestored(
  repository: string,
  images: Readonly<Record<string, Uint8Array>>,
  options: { readonly point?: string; workers?: number } = {},
): Promise<void> {
  const output = await restore(repository, options);
  const restored = readdirSync(output).map((name) => [name, sha256OfFile(path.join(output, name))]);
  const expected = Object.entries(images).map(([name, bytes]) => [name, sha256(bytes)]);
  expect(Object.fromEntries(restored)).toEqual(Object.fromEntries(expected));
}

/** Expects every stored block and link of the repository to verify. */
export async function expectClean(repository: string): Promise<void> {
  const { damage } = await verifyRepository({ repository, point: 'all', workers: 0 });
  expect(damage).toEqual([]);
}

export function messageCodes(report: SessionReport): string[] {
  return report.messages.map((message) => message.code);
}

/** Permission bits of a file or folder as octal text. */
export function modeOf(file: string): string {
  return (statSync(file).mode % 0o1000).toString(8);
}
