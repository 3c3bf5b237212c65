/**
 * Temporary folders, in memory where possible, and small volumes. Scripts use them too: no test
 * framework in here.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const IN_MEMORY = '/dev/shm';

function fastParent(): string {
  try {
    accessSync(IN_MEMORY, constants.W_OK);
    return IN_MEMORY;
  } catch {
    return tmpdir();
  }
}

/** The folder of package.json. The path fits the sources and their compiled form. */
export function rootFolder(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder);
  return folder;
}

/** A new folder, which the caller deletes. */
export function makeFolder(purpose: string): string {
  return mkdtempSync(path.join(tmpdir(), `ovirt-cbt-${purpose}-`));
}

/**
 * A new folder in memory, if the system has one: for work that syncs often. The caller deletes it.
 */
export function makeFastFolder(purpose: string): string {
  return mkdtempSync(path.join(fastParent(), `ovirt-cbt-${purpose}-`));
}

function mount(folder: string, sizeMib: number): void {
  const args = ['-t', 'tmpfs', '-o', `size=${sizeMib}m`, 'tmpfs', folder];
  execFileSync('mount', args, { stdio: 'ignore' });
}

/**
 * Runs `work` in a folder with room for `sizeMib` MiB. Throws when this user cannot mount a tmpfs.
 */
export async function inSmallVolume(
  sizeMib: number,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = makeFolder('small');
  try {
    mount(folder, sizeMib);
    try {
      await work(folder);
    } finally {
      execFileSync('umount', [folder]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** True when volumes can be mounted. Otherwise prints why tests are skipped. */
export async function canMountVolumes(): Promise<boolean> {
  try {
    await inSmallVolume(1, () => Promise.resolve());
    return true;
  } catch {
    console.warn('skipped: this user cannot mount a tmpfs, so full volumes are not tried');
    return false;
  }
}
