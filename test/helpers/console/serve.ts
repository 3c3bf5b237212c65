/**
 * Serves the console on a made-up daemon, for looking at its page:
 *
 *     npx tsc -p tsconfig.bench.json && node .bench/test/helpers/console/serve.js [PORT [PAGE]]
 *
 * The page is read from `src/console/page`, once. Sessions go on by a step each second.
 */
import path from 'node:path';
import { startConsoleServer } from '../../../src/console/consoleServer.ts';
import { FakeSources } from './fakeSources.ts';

const TOKENS = { operator: 'operator-token-1', readOnly: 'readonly-token-1' };
const STEP_MS = 1000;

const [port = '8484', pageFolder = path.resolve('src/console/page')] = process.argv.slice(2);
const sources = new FakeSources();
const tell = (what: unknown): void => console.error(what);

const server = await startConsoleServer({
  address: { host: '127.0.0.1', port: Number(port) },
  status: {
    health: () => ({ isAlive: true, jobs: [] }),
    metrics: async () => await Promise.resolve(''),
    onFailure: tell,
  },
  sources,
  tokens: TOKENS,
  productVersion: '0.1.0',
  hasRestoreFolder: true,
  onFailure: tell,
  onRefused: (address) => tell(`wrong token from ${address}`),
  onChange: tell,
  pageFolder,
});
setInterval(() => sources.advance(), STEP_MS);
console.log(`http://127.0.0.1:${server.port}/  tokens: ${Object.values(TOKENS).join(', ')}`);
