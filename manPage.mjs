/** Writes the manual page from the compiled commands. The argument is their folder. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const DIST = process.argv[2] ?? 'dist';

const load = (file) => import(pathToFileURL(path.resolve(DIST, 'cli', file)).href);
const { createProgram } = await load('program.js');
const { EXIT_CODE_MEANINGS: exitCodes } = await load('exitCodeMeanings.js');
const { mayRepeat } = await load('repeatedOptions.js');
const { describeProgram } = await load('reference/commandModel.js');
const { manPage } = await load('reference/manPage.js');

const date = new Date().toISOString().slice(0, 'YYYY-MM-DD'.length);
const model = describeProgram(createProgram(() => {}), mayRepeat);
const page = manPage(model, { date, exitCodes });
mkdirSync(path.join(DIST, 'man'));
writeFileSync(path.join(DIST, 'man/ovirt-cbt.1'), page);
