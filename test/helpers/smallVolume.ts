/** A file system of a few MiB, where the operating system lets us mount one. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

function mount(folder: string, sizeMib: number): void {
  const args = ['-t', 'tmpfs', '-o', `size=${sizeMib}m`, 'tmpfs', folder];
  execFileSync('mount', args, { stdio: 'ignore' });
}

/** Runs `work` in a folder with room for `sizeMib` MiB. */
export async function inSmallVolume(
  sizeMib: number,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'ovirt-cbt-small-'));
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

/** True when volumes can be mounted; else prints why tests are skipped. */
export async function canMountVolumes(): Promise<boolean> {
  try {
    await inSmallVolume(1, () => Promise.resolve());
    return true;
  } catch {
    console.warn('skipped: this user cannot mount a tmpfs, so full volumes are not tried');
    return false;
  }
}
