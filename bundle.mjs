/**
 * Puts the compiled command line into a few files: loading 250 modules one by one was half of the
 * time that a start takes. The library stays as it is compiled. Packages stay outside, except those
 * that are many small modules.
 *
 * Then it deletes the declarations that the types of the library do not need. Modules that the library
 * does not need stay for tests, and `.npmignore` keeps them out of the package: the bundle has them.
 */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'rolldown';

/** Folder of the compiled modules. */
const DIST = process.argv[2] ?? 'dist';
const INSIDE = ['zod', 'fast-xml-parser', 'commander', 'stream-chain', 'pino', 'undici'];
const { dependencies, optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const PACKAGES = Object.keys({ ...dependencies, ...optionalDependencies });

const MAIN = path.resolve(DIST, 'cli/main.js');
const THREADS = {
  blockWorker: path.resolve(DIST, 'compute/blockWorker.js'),
  rangeThread: path.resolve(DIST, 'ovirt/imageio/rangeThread.js'),
  sealThread: path.resolve(DIST, 'store/seal/stream/sealThread.js'),
};

/** The process of a worker that runs sessions. */
const CHILD = path.resolve(DIST, 'fleet/worker/childMain.js');

/** Modules that are loaded with `entries`, without those that they import later. */
function loadedWith(entries, chunking) {
  const found = new Set(entries);
  for (const id of found) {
    for (const next of chunking.getModuleInfo(id)?.importedIds ?? []) found.add(next);
  }
  return found;
}

let startModules;
let threadModules;

/**
 * Name of the file for a module. All that a start loads is in two files: what threads load too, and
 * the rest. The bundler divides the others. MAIN waits at its top level, so a file with it would
 * block every module that is loaded later and imports from that file.
 */
function fileOf(id, chunking) {
  startModules ??= loadedWith([MAIN], chunking);
  threadModules ??= loadedWith(Object.values(THREADS), chunking);
  if (id === MAIN || !startModules.has(id)) return null;
  return threadModules.has(id) ? 'base' : 'start';
}

await build({
  input: { main: MAIN, childMain: CHILD, ...THREADS },
  platform: 'node',
  resolve: { alias: { undici$: path.resolve('undiciParts.cjs') } },
  external: ['ovirt-cbt-lab', ...PACKAGES.filter((name) => !INSIDE.includes(name))],
  output: {
    dir: path.join(DIST, 'bin'),
    format: 'esm',
    // Flat, and as deep in the package as the modules: they find package.json there, and the worker
    // beside them.
    entryFileNames: '[name].js',
    chunkFileNames: 'chunk-[name].js',
    codeSplitting: { groups: [{ name: fileOf, debugName: 'start' }] },
  },
});

/** Files that the entries of the library reach by relative paths, the entries included. */
function reached(entries, extension) {
  const found = new Set(entries.map((name) => path.join(DIST, name + extension)));
  for (const file of found) {
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/['"](\.\.?\/[^'"]+)\.[jt]s['"]/g)) {
      found.add(path.join(path.dirname(file), specifier + extension));
    }
  }
  return found;
}

const LIBRARY = ['index', 'stages'];
const files = readdirSync(DIST, { encoding: 'utf8', recursive: true });
const declarations = reached(LIBRARY, '.d.ts');
for (const name of files.filter((one) => /\.d\.c?ts$/.test(one))) {
  if (!declarations.has(path.join(DIST, name))) rmSync(path.join(DIST, name));
}
const modules = reached(LIBRARY, '.js');
const others = files.filter(
  (name) => name.endsWith('.js') && !name.startsWith('bin/') && !modules.has(path.join(DIST, name)),
);
writeFileSync(path.join(DIST, '.npmignore'), others.map((name) => `/${name}\n`).join(''));
