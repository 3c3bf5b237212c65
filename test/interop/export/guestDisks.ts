/**
 * Two disks of a small guest, made without root: an ext4 root with busybox and an xfs file system
 * that its fstab mounts on /srv. Three restore points hold them.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { MIB } from '../../../src/core/units.ts';
import type { RetentionPolicy } from '../../../src/repository/retention/retention.ts';
import { backupImages } from '../../../src/sessions/backup/backupImages.ts';
import { pruneRepository } from '../../../src/sessions/retention/pruneRepository.ts';
import { restoreImages } from '../../../src/sessions/restore/restoreImages.ts';
import { noise, prose } from '../../helpers/bytes/random.ts';

export const GUEST_NAME = 'web01';
/** Names of the disks, and of their exports. */
export const ROOT_DISK = 'root';
export const DATA_DISK = 'data';
const ROOT_BYTES = 64 * MIB;
/** The smallest size that mkfs.xfs accepts. */
const DATA_BYTES = 300 * MIB;
const ROOT_UUID = 'a5f6d5f2-0a0f-4c4e-8a53-8f6f5f0f2f10';
const DATA_UUID = '6b1a2d6e-8a52-4d0e-9a55-3f3d4f1c7b11';
/** The guest prints it when it has booted from its disk. */
export const TOKEN = 'token-7f3a';

/** A restore point, and the images that `restore` makes of it. */
export interface GuestPoint {
  readonly what: string;
  readonly repository: string;
  readonly pointId: string;
  /** Folder with one raw image per disk. */
  readonly images: string;
}

const ROOT_FILES: Readonly<Record<string, Uint8Array | string>> = {
  'etc/os-release': 'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n',
  'etc/debian_version': '12.0\n',
  'etc/fstab': `UUID=${ROOT_UUID} / ext4 defaults 0 1\nUUID=${DATA_UUID} /srv xfs defaults 0 2\n`,
  'etc/token': `${TOKEN}\n`,
  'home/a file with spaces': 'spaces',
  'home/it\'s "quoted"': 'quotes',
  'home/new\nline': 'newline',
  'home/--dash': 'dash',
  'home/noise': noise(1, 8 * MIB),
  'home/prose': prose('p', 4 * MIB),
};

/** @returns the folder with the content of the root, for comparisons */
function makeRoot(folder: string, image: string): string {
  const tree = path.join(folder, 'tree');
  for (const name of ['bin', 'dev', 'proc', 'sbin', 'srv', 'var/log']) {
    mkdirSync(path.join(tree, name), { recursive: true });
  }
  for (const [name, content] of Object.entries(ROOT_FILES)) {
    mkdirSync(path.dirname(path.join(tree, name)), { recursive: true });
    writeFileSync(path.join(tree, name), content);
  }
  cpSync(
    execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(),
    path.join(tree, 'bin/busybox'),
  );
  cpSync(path.join(import.meta.dirname, 'guestInit'), path.join(tree, 'sbin/init'));
  chmodSync(path.join(tree, 'sbin/init'), 0o755);
  symlinkSync('/etc/token', path.join(tree, 'home/link'));
  writeFileSync(image, '');
  truncateSync(image, ROOT_BYTES);
  execFileSync('mkfs.ext4', ['-q', '-F', '-U', ROOT_UUID, '-d', tree, image]);
  return tree;
}

/** mkfs.xfs fills a new file system with the files of a list. */
function makeData(
  folder: string,
  image: string,
  files: Readonly<Record<string, Uint8Array>>,
): void {
  const lines = ['/', '0 0', 'd--755 0 0'];
  for (const [name, content] of Object.entries(files)) {
    const source = path.join(folder, `xfs-${name}`);
    writeFileSync(source, content);
    lines.push(`${name} ---644 0 0 ${source}`);
  }
  const list = path.join(folder, 'xfs-list');
  writeFileSync(list, [...lines, '$', '$', ''].join('\n'));
  rmSync(image, { force: true });
  writeFileSync(image, '');
  truncateSync(image, DATA_BYTES);
  execFileSync('mkfs.xfs', ['-q', '-m', `uuid=${DATA_UUID}`, '-p', list, image]);
}

/** Writes a file into an ext4 image that is not mounted. */
function putIntoRoot(folder: string, image: string, name: string, content: Uint8Array): void {
  const source = path.join(folder, 'put');
  writeFileSync(source, content);
  execFileSync('debugfs', ['-w', '-R', `write ${source} ${name}`, image], { stdio: 'ignore' });
}

export interface GuestChain {
  /** Content of the root at the first point. */
  readonly tree: string;
  readonly repository: string;
  /** A full, an increment, an increment that was merged, and a full that was merged. */
  readonly points: readonly GuestPoint[];
}

/** Makes the disks, backs them up three times, merges copies of the chain, and restores all. */
export async function makeGuestChain(folder: string): Promise<GuestChain> {
  const [root, data] = [path.join(folder, ROOT_DISK), path.join(folder, DATA_DISK)];
  const repository = path.join(folder, 'repository');
  const backup = async (): Promise<string> => {
    const images = [root, data];
    const report = await backupImages({ repository, vmName: GUEST_NAME, images, workers: 2 });
    return report.pointId;
  };
  const tree = makeRoot(folder, root);
  const first = { big: noise('d', 6 * MIB), small: Buffer.from('xfs content\n') };
  makeData(folder, data, first);
  const full = await backup();
  putIntoRoot(folder, root, '/home/second', noise(2, 3 * MIB));
  await backup();
  execFileSync('debugfs', ['-w', '-R', 'rm /home/noise', root], { stdio: 'ignore' });
  putIntoRoot(folder, root, '/home/third', noise(3, MIB));
  makeData(folder, data, { ...first, more: noise('m', 2 * MIB) });
  const increment = await backup();
  const merged = await mergedCopy(repository, `${repository}-merged`, { yearly: 2 });
  const mergedFull = await mergedCopy(merged, `${repository}-full`, { last: 1 });
  const points: GuestPoint[] = [];
  for (const [what, place, pointId] of [
    ['full', repository, full],
    ['increment', repository, increment],
    ['merged increment', merged, increment],
    ['merged full', mergedFull, increment],
  ] as const) {
    const images = path.join(folder, `restored-${points.length}`);
    await restoreImages({ repository: place, vm: GUEST_NAME, point: pointId, output: images });
    points.push({ what, repository: place, pointId, images });
  }
  return { tree, repository, points };
}

async function mergedCopy(from: string, to: string, keep: RetentionPolicy): Promise<string> {
  cpSync(from, to, { recursive: true });
  const report = await pruneRepository({ repository: to, keep });
  if (!JSON.stringify(report).includes('merge')) throw new Error('nothing was merged');
  return to;
}

/** A file of the root at the first point. */
export function rootFile({ tree }: GuestChain, name: string): Buffer {
  return readFileSync(path.join(tree, name));
}
