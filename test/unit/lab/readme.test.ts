/** The code examples of the lab's README run. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

const LAB = path.resolve(import.meta.dirname, '../../../lab');
const ENTRY = pathToFileURL(path.join(LAB, 'dist/index.js')).href;

const EXAMPLES = [
  ...readFileSync(path.join(LAB, 'README.md'), 'utf8').matchAll(/^```js\n(.*?)^```/gms),
].map(([, code = '']) => code.replaceAll("'ovirt-cbt-lab'", `'${ENTRY}'`));

function outputOf(code: string): string {
  return execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
}

it('the examples of the README start a lab and close it', () => {
  expect(EXAMPLES.map(outputOf)).toEqual([
    expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+\/ovirt-engine admin@internal\n$/),
    '[]\n',
  ]);
});
