/**
 * Puts the compiled command line into a few files: loading 250 modules one by one was half of the
 * time that a start takes. The library stays as it is compiled. Packages stay outside, except those
 * that are many small modules.
 *
 * Then it deletes the declarations that the types of the library do not need.
 */
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { build } from 'rolldown';

/** Folder of the compiled modules. */
const DIST = process.argv[2] ?? 'dist';
const INSIDE = ['zod', 'fast-xml-parser', 'commander', 'stream-chain', 'pino', 'undici'];
const { dependencies, optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const PACKAGES = Object.keys({ ...dependencies, ...optionalDependencies });

await build({
  input: {
    main: path.resolve(DIST, 'cli/main.js'),
    blockWorker: path.resolve(DIST, 'compute/blockWorker.js'),
    rangeThread: path.resolve(DIST, 'ovirt/imageio/rangeThread.js'),
  },
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
  },
});

/** Declarations that a program of a user needs: those that the entries of the library reach. */
function reachedDeclarations(entries) {
  const reached = new Set(entries);
  for (const file of reached) {
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/['"](\.\.?\/[^'"]+)\.[jt]s['"]/g)) {
      reached.add(path.join(path.dirname(file), `${specifier}.d.ts`));
    }
  }
  return reached;
}

const needed = reachedDeclarations(
  ['index.d.ts', 'stages.d.ts'].map((name) => path.join(DIST, name)),
);
for (const name of readdirSync(DIST, { recursive: true })) {
  const file = path.join(DIST, name);
  if (/\.d\.c?ts$/.test(name) && !needed.has(file)) rmSync(file);
}
