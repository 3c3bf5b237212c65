/** A qemu-img that behaves badly, for the running test. */
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { tempFolderOfTest } from '../tempFolder.ts';

function stubPath(folder: string): void {
  vi.stubEnv('PATH', folder);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
}

/** Path of the qemu-img of this machine. Throws without one: nothing would be proven. */
export function realQemuImg(): string {
  return execFileSync('sh', ['-c', 'command -v qemu-img'], { encoding: 'utf8' }).trim();
}

/** Makes a shell script the only program of PATH. It needs paths for all programs that it calls. */
export function fakeQemuImg(script: string): void {
  const folder = tempFolderOfTest();
  writeFileSync(path.join(folder, 'qemu-img'), `#!/bin/sh\n${script}\n`);
  chmodSync(path.join(folder, 'qemu-img'), 0o755);
  stubPath(folder);
}

/** A script that prints a map. Each range is [offset, length, is a hole]. */
export function printedMap(
  ranges: readonly (readonly [start: number, length: number, zero: boolean])[],
): string {
  const lines = ranges.map(([start, length, zero]) => JSON.stringify({ start, length, zero }));
  return `echo '[${lines.join(',\n')}]'`;
}

/** No program is found in PATH. */
export function withoutQemuImg(): void {
  stubPath(tempFolderOfTest());
}
