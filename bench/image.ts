/** The data of the benchmarks: an ext4 image filled with real files of this machine. */
import { execFileSync } from 'node:child_process';
import { mkdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MIB } from '../src/core/units.ts';

/** Folders that Debian machines have; what is missing is left out. */
const SOURCES = ['/usr/share', '/usr/bin', '/usr/include', '/usr/lib/x86_64-linux-gnu'];
const QUICK_SOURCES = ['/usr/include'];
const SPARE_RATIO = 1.15;
const SPARE_BYTES = 64 * MIB;

async function existing(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    if (await stat(folder).catch(() => undefined)) found.push(folder);
  }
  return found;
}

/** Builds the image with mkfs.ext4 -d; needs e2fsprogs. */
export async function buildImage(folder: string, quick: boolean): Promise<string> {
  const [tree, image] = [path.join(folder, 'tree'), path.join(folder, 'image.raw')];
  await mkdir(tree, { recursive: true });
  for (const source of await existing(quick ? QUICK_SOURCES : SOURCES)) {
    execFileSync('cp', ['-a', source, tree], { stdio: 'ignore' });
  }
  const used = execFileSync('du', ['-sb', tree], { encoding: 'utf8' });
  const sizeBytes = Math.ceil((Number.parseInt(used, 10) * SPARE_RATIO + SPARE_BYTES) / MIB) * MIB;
  await writeFile(image, '');
  await truncate(image, sizeBytes);
  execFileSync('mkfs.ext4', ['-q', '-F', '-d', tree, image], { stdio: 'ignore' });
  await rm(tree, { recursive: true, force: true });
  return image;
}
