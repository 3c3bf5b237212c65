/**
 * Compiles the product before the tests: worker threads and the spawned command line run the
 * compiled files.
 */
import { execFileSync } from 'node:child_process';
import { loadLz4 } from '../../src/compute/lz4Binding.ts';

export default function buildOnce(): void {
  execFileSync(process.execPath, ['build.mjs'], { stdio: 'inherit' });
  const { isNative, reason } = loadLz4();
  if (isNative) return;
  console.warn(
    `lz4 has no native build here: ${reason}.
Tests of it are skipped. Tests that compare all messages of a session fail, because of ENV-801.
Install a C++ compiler, make and Python, and run "npm ci" again.`,
  );
}
