/**
 * Preloaded into the command line: writes the place of each module that it loads, a line each, to
 * the file that LOADED_MODULES names.
 */
import { appendFileSync } from 'node:fs';
import { createRequire, register } from 'node:module';

const file = process.env.LOADED_MODULES;
register(new URL('loadedModulesHook.mjs', import.meta.url), { data: { file } });
const { cache } = createRequire(import.meta.url);
process.on('exit', () => appendFileSync(file, `${Object.keys(cache).join('\n')}\n`));
