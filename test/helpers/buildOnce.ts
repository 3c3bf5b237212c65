/** Worker threads and the spawned command line run the compiled product, so it is compiled before the tests. */
import { execFileSync } from 'node:child_process';

const TSC = 'node_modules/typescript/bin/tsc';
const BUNDLER = ['bundle.mjs'];

export default function buildOnce(): void {
  for (const args of [[TSC, '-p', 'lab'], [TSC, '-p', 'tsconfig.json'], BUNDLER])
    execFileSync(process.execPath, args, { stdio: 'inherit' });
}
