/** The arrows of ARCHITECTURE.md, read off the import lines of every folder. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = path.resolve(import.meta.dirname, '../../src');
const MAX_FILES_PER_FOLDER = 15;

const DATA_PATH = ['core', 'compute', 'compute/kernels', 'flow'];
const CONTAINER = ['container', 'container/format', 'container/read', 'container/write'];
const REPOSITORY = ['repository', 'repository/damage', 'repository/retention'];
const OVIRT = ['ovirt', 'ovirt/engine', 'ovirt/imageio', 'ovirt/lifecycle'];
/** What every folder of sessions may import. */
const BELOW_SESSIONS = [
  ...DATA_PATH,
  'flow/stages',
  'flow/sinks',
  ...CONTAINER,
  ...REPOSITORY,
  ...OVIRT,
  'devices',
  'sessions/shared',
];

/** Folder → the other folders that it may import from. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  core: [],
  'compute/kernels': ['core'],
  compute: ['core', 'compute/kernels'],
  flow: ['core', 'compute', 'compute/kernels'],
  'flow/stages': DATA_PATH,
  'flow/sinks': DATA_PATH,
  container: DATA_PATH,
  'container/format': [...DATA_PATH, 'container'],
  'container/read': [...DATA_PATH, 'container', 'container/format'],
  'container/write': [...DATA_PATH, 'container', 'container/format', 'container/read'],
  repository: [...DATA_PATH, ...CONTAINER],
  'repository/damage': [...DATA_PATH, ...CONTAINER, 'repository'],
  'repository/retention': [...DATA_PATH, ...CONTAINER, 'repository'],
  ovirt: ['core', 'flow'],
  'ovirt/engine': ['core', 'ovirt'],
  'ovirt/imageio': ['core', 'flow', 'ovirt'],
  'ovirt/lifecycle': ['core', 'ovirt', 'ovirt/engine', 'ovirt/imageio'],
  devices: [...DATA_PATH, ...OVIRT],
  'sessions/shared': BELOW_SESSIONS.filter((folder) => folder !== 'sessions/shared'),
  'sessions/inspect': BELOW_SESSIONS,
  'sessions/verify': BELOW_SESSIONS,
  'sessions/retention': BELOW_SESSIONS,
  'sessions/restore': [...BELOW_SESSIONS, 'sessions/cleanup'],
  'sessions/cleanup': BELOW_SESSIONS,
  'sessions/backup/parent': BELOW_SESSIONS,
  'sessions/backup': [...BELOW_SESSIONS, 'sessions/backup/parent', 'sessions/backup/vm'],
  'sessions/backup/vm': [
    ...BELOW_SESSIONS,
    'sessions/cleanup',
    'sessions/backup',
    'sessions/backup/parent',
  ],
  'cli/output': ['core', 'sessions/*'],
  'cli/commands': ['core', 'cli', 'cli/output', 'ovirt', 'sessions/*'],
  cli: ['core', 'cli/commands', 'cli/output', 'ovirt', 'sessions/*'],
};

function filesBelow(folder: string): string[] {
  return readdirSync(path.join(SRC, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(name) : [name];
  });
}

const FILES: readonly string[] = filesBelow('').filter((file) => file.includes('/'));
const FOLDERS = [...new Set(FILES.map((file) => path.posix.dirname(file)))].toSorted();

function sourceOf(file: string): string {
  return readFileSync(path.join(SRC, file), 'utf8');
}

/** Files that the relative imports of a source name, from `src` on. */
function importedFiles(file: string, source: string): string[] {
  return [...source.matchAll(/(?:from |import\()'(\.{1,2}\/[^']+)'/g)].map((match) =>
    path.posix.join(path.posix.dirname(file), match[1] ?? ''),
  );
}

function isAllowed(folder: string, target: string): boolean {
  if (target === folder) return true;
  const allowed = ALLOWED[folder] ?? [];
  return allowed.some(
    (one) => one === target || (one.endsWith('/*') && target.startsWith(one.slice(0, -1))),
  );
}

function wrongArrows(file: string, source: string): string[] {
  const folder = path.posix.dirname(file);
  return importedFiles(file, source)
    .map((target) => path.posix.dirname(target))
    .filter((target) => !isAllowed(folder, target))
    .map((target) => `${file} → ${target}`);
}

/**
 * A circle of imports that can be reached from `file`, or undefined. `done` holds files without
 * one.
 */
function findCircle(
  file: string,
  imports: ReadonlyMap<string, readonly string[]>,
  done: Set<string>,
  trail: readonly string[] = [],
): readonly string[] | undefined {
  if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
  if (done.has(file)) return undefined;
  for (const next of imports.get(file) ?? []) {
    const circle = findCircle(next, imports, done, [...trail, file]);
    if (circle) return circle;
  }
  done.add(file);
  return undefined;
}

function circlesOf(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  for (const file of imports.keys()) {
    const circle = findCircle(file, imports, done);
    if (circle) return [circle.join(' → ')];
  }
  return [];
}

describe('imports', () => {
  it.each(FOLDERS)('of %s follow the arrows', (folder) => {
    const files = FILES.filter((file) => path.posix.dirname(file) === folder);

    expect(files.flatMap((file) => wrongArrows(file, sourceOf(file)))).toEqual([]);
  });

  it('cover every folder of src', () => {
    expect(FOLDERS).toEqual(Object.keys(ALLOWED).toSorted());
  });

  it('name files that exist', () => {
    const missing = FILES.flatMap((file) =>
      importedFiles(file, sourceOf(file)).filter(
        (target) => !statSync(path.join(SRC, target), { throwIfNoEntry: false }),
      ),
    );

    expect(missing).toEqual([]);
  });

  it('form no circle', () => {
    const imports = new Map(FILES.map((file) => [file, importedFiles(file, sourceOf(file))]));

    expect(imports.size).toBeGreaterThan(100);
    expect(circlesOf(imports)).toEqual([]);
  });

  it('that form a circle are seen by this test', () => {
    const imports = new Map([
      ['a/x.ts', ['b/y.ts']],
      ['b/y.ts', ['c/z.ts']],
      ['c/z.ts', ['b/y.ts']],
    ]);

    expect(circlesOf(imports)).toEqual(['b/y.ts → c/z.ts → b/y.ts']);
  });

  it.each([
    "import { connect } from '../flow/connect.ts';",
    "const { connect } = await import('../flow/connect.ts');",
  ])('in the wrong direction are seen by this test: %s', (source) => {
    expect(wrongArrows('core/x.ts', source)).toEqual(['core/x.ts → flow']);
  });

  it('between two folders of a room are seen by this test', () => {
    const source = "import { x } from '../write/x.ts';";

    expect(wrongArrows('container/read/y.ts', source)).toEqual([
      'container/read/y.ts → container/write',
    ]);
  });
});

describe('folders of src', () => {
  it.each(FOLDERS)('%s has few files', (folder) => {
    const files = FILES.filter((file) => path.posix.dirname(file) === folder);

    expect(files.length).toBeLessThanOrEqual(MAX_FILES_PER_FOLDER);
  });
});
