/** The lab stands on its own: no import leaves it, and its folders import in one direction. */
import { readFileSync, statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type Arrows,
  circlesOf,
  filesBelow,
  foldersOf,
  importsOf,
  MAX_FILES_PER_FOLDER,
  readImports,
  wrongArrows,
} from '../../helpers/importGraph.ts';

const LAB = path.resolve(import.meta.dirname, '../../../lab');
const SRC = path.join(LAB, 'src');
/** The entry of the package. It imports from everywhere, and nothing imports it. */
const ENTRY = 'index.ts';

const ENGINE = ['state', 'state/disks', 'state/backups', 'state/transfers'];

/** Folder → the other folders that it may import from. `.` holds types, units and errors. */
const ALLOWED: Arrows = {
  '.': [],
  disks: ['.'],
  http: ['.'],
  imageio: ['.', 'disks', 'http'],
  state: ['.', 'disks'],
  'state/disks': ['.', 'disks', 'state'],
  'state/backups': ['.', 'state', 'state/disks'],
  'state/transfers': ['.', 'disks', 'state', 'state/disks'],
  'api/http': ['.', 'http', 'state'],
  'api/views': ['.', ...ENGINE, 'api/http'],
  'api/routes': ['.', 'http', ...ENGINE, 'api/http', 'api/views'],
  facade: ['.', 'disks', 'http', 'imageio', ...ENGINE, 'api/http', 'api/routes', 'api/views'],
};

const FILES: readonly string[] = filesBelow(SRC);
const FOLDERS = foldersOf(FILES);
const IMPORTS = readImports(SRC, FILES);

function filesIn(folder: string): string[] {
  return FILES.filter((file) => path.posix.dirname(file) === folder);
}

function packagesOf(file: string): string[] {
  const names = importsOf(readFileSync(path.join(SRC, file), 'utf8'));
  return names.filter((name) => !name.startsWith('.') && !isBuiltin(name));
}

function isFileOfLab(target: string): boolean {
  if (target.startsWith('..')) return false;
  return statSync(path.join(SRC, target), { throwIfNoEntry: false }) !== undefined;
}

describe('imports of the lab', () => {
  it.each(FOLDERS)('in %s follow the arrows', (folder) => {
    const files = filesIn(folder).filter((file) => file !== ENTRY);
    const wrong = files.flatMap((file) => wrongArrows(ALLOWED, file, IMPORTS.get(file) ?? []));

    expect(wrong).toEqual([]);
  });

  it('have arrows for every folder, each in one direction', () => {
    const both = Object.entries(ALLOWED).flatMap(([folder, targets]) =>
      targets.filter((target) => ALLOWED[target]?.includes(folder)),
    );

    expect(FOLDERS).toEqual(Object.keys(ALLOWED).toSorted());
    expect(both).toEqual([]);
  });

  it('name files of the lab that exist, and never its way in', () => {
    const targets = [...IMPORTS.values()].flat();
    expect(targets.filter((target) => !isFileOfLab(target))).toEqual([]);
    expect(targets).not.toContain(ENTRY);
  });

  it('name packages that its package.json names, and each of those', () => {
    const { dependencies } = JSON.parse(readFileSync(path.join(LAB, 'package.json'), 'utf8')) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    const packages = new Set(FILES.flatMap(packagesOf));

    expect([...packages].toSorted()).toEqual(Object.keys(dependencies).toSorted());
  });

  it('form no circle', () => {
    expect(IMPORTS.size).toBeGreaterThan(40);
    expect(circlesOf(IMPORTS)).toEqual([]);
  });
});

describe('folders of the lab', () => {
  it.each(FOLDERS)('%s has few files', (folder) => {
    expect(filesIn(folder).length).toBeLessThanOrEqual(MAX_FILES_PER_FOLDER);
  });
});
