/**
 * Compiles the product and the lab. Each goes into a new folder first, which then takes the place of
 * the old one. So the files are missing only between two renames, and never after a failed build. A
 * command that has started may load later files from the new build.
 *
 *   node build.mjs              product and lab
 *   node build.mjs lab          the lab alone
 *   node build.mjs --if-stale   only when a source is newer than what was compiled
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';

const ROOT = import.meta.dirname;
const TSC = path.join(ROOT, 'node_modules/typescript/bin/tsc');
const INPUTS = [
  'src',
  'lab/src',
  'package-lock.json',
  'package.json',
  'tsconfig.json',
  'lab/tsconfig.json',
  'bundle.mjs',
  'manPage.mjs',
  'undiciParts.cjs',
  'build.mjs',
];
const PAGE = 'console/page';
const OUTPUTS = ['dist/bin/main.js', 'lab/dist/index.js'];

process.chdir(ROOT);
const wanted = process.argv.slice(2);
if (!wanted.includes('--if-stale') || isStale()) {
  build('lab', () => {});
  if (!wanted.includes('lab')) {
    build('.', (folder) => {
      for (const script of ['bundle.mjs', 'manPage.mjs']) {
        execFileSync(process.execPath, [script, folder], { stdio: 'inherit' });
      }
      chmodSync(path.join(folder, 'cli/launch.cjs'), 0o755);
      copyPage(path.join(folder, PAGE));
    });
  }
}

/** Browsers load the page of the console as it is. It comes after the list of what is not packed. */
function copyPage(folder) {
  cpSync(path.join('src', PAGE), folder, { recursive: true, filter: isShipped });
}

/** What only the checks of its source need stays behind. */
function isShipped(file) {
  return !/\.d\.ts$|tsconfig\.json$/.test(file);
}

/** Compiles a package and calls `finish` with the folder of its output before it is put in place. */
function build(packageFolder, finish) {
  const [next, old, dist] = ['.dist-next', '.dist-old', 'dist'].map((name) =>
    path.join(packageFolder, name),
  );
  for (const folder of [next, old]) rmSync(folder, { recursive: true, force: true });
  const project = path.join(packageFolder, 'tsconfig.json');
  execFileSync(process.execPath, [TSC, '-p', project, '--outDir', next], { stdio: 'inherit' });
  finish(next);
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(next, dist);
  rmSync(old, { recursive: true, force: true });
}

function isStale() {
  if (!OUTPUTS.every((file) => existsSync(file))) return true;
  const oldestMs = Math.min(...OUTPUTS.map((file) => statSync(file).mtimeMs));
  return INPUTS.some((input) => newestMs(input) > oldestMs);
}

function newestMs(input) {
  const { mtimeMs } = statSync(input);
  if (!statSync(input).isDirectory()) return mtimeMs;
  const names = readdirSync(input, { recursive: true });
  return Math.max(mtimeMs, ...names.map((name) => statSync(path.join(input, name)).mtimeMs));
}
