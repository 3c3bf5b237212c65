/** Files of the console's page: what is vendored, what is shipped, what the policy would refuse. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { useSharedTempFolder } from '../helpers/tempFolder.ts';

const PAGE = 'src/console/page';
const VENDOR = `${PAGE}/vendor`;
const temp = useSharedTempFolder();

function read(...parts: readonly string[]): string {
  return readFileSync(path.join(...parts), 'utf8');
}

const modules = readdirSync(PAGE, { recursive: true, encoding: 'utf8' }).filter(
  (name) => name.endsWith('.js') && !name.startsWith('vendor/'),
);

it('the vendored file is what its command makes of the locked packages', () => {
  const file = temp.path('preact.js');
  execFileSync(process.execPath, ['pageVendor.mjs', file]);

  expect(read(VENDOR, 'preact.js')).toBe(read(file));
});

it.each(['preact', 'htm'])('%s is vendored with its license, and its version is told', (name) => {
  const { version } = JSON.parse(read('node_modules', name, 'package.json')) as {
    readonly version: string;
  };
  const lock = JSON.parse(read('package-lock.json')) as {
    readonly packages: Readonly<Record<string, { readonly version: string }>>;
  };

  expect(lock.packages[`node_modules/${name}`]?.version).toBe(version);
  expect(read(VENDOR, 'README.md')).toContain(` ${version} `);
  expect(read(VENDOR, `LICENSE.${name}.txt`)).toBe(read('node_modules', name, 'LICENSE'));
});

it('the page has no code and no style inside, and asks nobody else', () => {
  const index = read(PAGE, 'index.html');
  const sources = modules.map((name) => [name, read(PAGE, name)] as const);
  const wrong = sources.filter(([, source]) =>
    /innerHTML|insertAdjacentHTML|\beval\(|new Function|https?:/.test(source),
  );

  expect(index).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/);
  expect(index.match(/(?:src|href)="(?!data:)[^"]*"/g)).toEqual([
    'href="style.css"',
    'src="main.js"',
  ]);
  expect(read(PAGE, 'style.css')).not.toMatch(/url\(|@import/);
  expect(modules.length).toBeGreaterThan(15);
  expect(wrong.map(([name]) => name)).toEqual([]);
});

it('the build ships what a browser loads, and nothing that only checks need', () => {
  const shipped = readdirSync('dist/console/page', { recursive: true, encoding: 'utf8' });
  const missing = modules.filter((name) => !existsSync(path.join('dist/console/page', name)));
  const ignored = read('dist/.npmignore').split('\n');

  expect(missing).toEqual([]);
  expect(shipped).toContain('vendor/LICENSE.htm.txt');
  expect(shipped.filter((name) => /\.ts$|json$/.test(name))).toEqual([]);
  expect(ignored.filter((name) => name.startsWith('/console/page/'))).toEqual([]);
});
