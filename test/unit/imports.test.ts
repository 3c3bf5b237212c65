/** The arrows of ARCHITECTURE.md, read off the import lines. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = path.resolve(import.meta.dirname, '../../src');

/** What each folder may import from. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  core: [],
  pipeline: ['core'],
  container: ['core', 'pipeline'],
  repository: ['core', 'pipeline', 'container'],
  ovirt: ['core', 'pipeline'],
  devices: ['core', 'pipeline', 'ovirt'],
  session: ['core', 'pipeline', 'container', 'repository', 'ovirt', 'devices'],
  lab: ['core'],
  cli: ['core', 'ovirt', 'session', 'lab'],
};

function wrongArrows(folder: string, file: string, source: string): string[] {
  return [...source.matchAll(/(?:from |import\()'(\.{1,2}\/[^']+)'/g)].flatMap((match) => {
    const target = path.relative(SRC, path.resolve(SRC, folder, match[1] ?? '')).split(path.sep)[0];
    const isOwn = target === folder;
    return isOwn || ALLOWED[folder]?.includes(target ?? '')
      ? []
      : [`${folder}/${file} → ${target}`];
  });
}

describe('imports', () => {
  it.each(Object.keys(ALLOWED))('of %s follow the arrows', (folder) => {
    const wrong = readdirSync(path.join(SRC, folder)).flatMap((file) =>
      wrongArrows(folder, file, readFileSync(path.join(SRC, folder, file), 'utf8')),
    );

    expect(wrong).toEqual([]);
  });

  it('cover every folder of src', () => {
    const folders = readdirSync(SRC, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);

    expect(folders.toSorted()).toEqual(Object.keys(ALLOWED).toSorted());
  });

  it.each([
    "import { connect } from '../pipeline/stage.ts';",
    "const { connect } = await import('../pipeline/stage.ts');",
  ])('in the wrong direction are seen by this test: %s', (source) => {
    expect(wrongArrows('core', 'x.ts', source)).toEqual(['core/x.ts → pipeline']);
  });
});
