/**
 * Compiles the product before the tests: worker threads and the spawned command line run the
 * compiled files.
 */
import { execFileSync } from 'node:child_process';

const TSC = 'node_modules/typescript/bin/tsc';
const BUNDLER = ['bundle.mjs'];

export default function buildOnce(): void {
  for (const args of [[TSC, '-p', 'lab'], [TSC, '-p', 'tsconfig.json'], BUNDLER])
    execFileSync(process.execPath, args, { stdio: 'inherit' });
}
