/** Comments must fit a terminal. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const MAX_COLUMNS = 100;
const FOLDERS = ['src', 'lab/src', 'test', 'bench', 'kernels'];
const COMMENT = /^\s*(?:\/\/|\/\*|\*)/;
const SOURCE = /\.(?:ts|cts|mjs|js)$/;

function sourcesBelow(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return sourcesBelow(name);
    return SOURCE.test(entry.name) ? [name] : [];
  });
}

function wideComments(source: string): string[] {
  return source
    .split('\n')
    .filter(
      (line) => COMMENT.test(line) && !line.includes('https://') && line.length > MAX_COLUMNS,
    );
}

const FILES = FOLDERS.flatMap(sourcesBelow);

it(`comments are at most ${MAX_COLUMNS} columns wide`, () => {
  const wide = FILES.flatMap((file) =>
    wideComments(readFileSync(path.join(ROOT, file), 'utf8')).map((line) => `${file}: ${line}`),
  );

  expect(FILES.length).toBeGreaterThan(400);
  expect(wide).toEqual([]);
});

it('a wide comment is seen by this test', () => {
  const text = 'x'.repeat(MAX_COLUMNS);

  expect(wideComments(`// ${text}\nconst ok = '${text}';\n * ${text}\n// short`)).toHaveLength(2);
});

// The compiler leaves a member with this tag out of the published types. "admin@internal" in a
// comment would be taken for the tag.
it('no comment has the tag @internal in the middle of a line', () => {
  const inText = FILES.flatMap((file) =>
    readFileSync(path.join(ROOT, file), 'utf8')
      .split('\n')
      .filter((line) => COMMENT.test(line) && /[^\s*]\s*@internal\b/.test(line.replace('/**', '')))
      .map((line) => `${file}: ${line}`),
  );

  expect(inText.filter((line) => !line.startsWith('lab/') && !line.startsWith('test/'))).toEqual(
    [],
  );
});
