/**
 * Puts the compiled command line into a few files: loading 250 modules one by one was half of the
 * time that a start takes. The library stays as it is compiled, and packages stay outside but for
 * those that are many small modules.
 */
import { readFileSync } from 'node:fs';
import { build } from 'rolldown';

const INSIDE = ['zod', 'fast-xml-parser', 'commander', 'stream-chain', 'pino'];
const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));

await build({
  input: { main: 'dist/cli/main.js', blockWorker: 'dist/compute/blockWorker.js' },
  platform: 'node',
  external: ['ovirt-cbt-lab', ...Object.keys(dependencies).filter((name) => !INSIDE.includes(name))],
  output: {
    dir: 'dist/bin',
    format: 'esm',
    // Flat, and as deep in the package as the modules: they find package.json there, and the worker
    // beside them.
    entryFileNames: '[name].js',
    chunkFileNames: 'chunk-[name].js',
  },
});
