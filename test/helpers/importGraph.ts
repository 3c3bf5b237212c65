/**
 * Which file imports which, read from the import lines. Files and folders are posix paths below one
 * root.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A folder holds at most this many files. */
export const MAX_FILES_PER_FOLDER = 15;

/**
 * Folder → the other folders that it may import from. A name that ends in `/*` stands for all below
 * it.
 */
export type Arrows = Readonly<Record<string, readonly string[]>>;

/** File → the files that it imports. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/** All files below a root, as paths from there. */
export function filesBelow(root: string, folder = ''): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(root, name) : [name];
  });
}

/** Folders of the files, sorted; `.` is the root. */
export function foldersOf(files: readonly string[]): string[] {
  return [...new Set(files.map((file) => path.posix.dirname(file)))].toSorted();
}

/** Relative paths and packages that the imports of a source name. */
export function importsOf(source: string): string[] {
  return [...source.matchAll(/(?:from |import\()'([^']+)'/g)].map((match) => match[1] ?? '');
}

/** Files that the relative imports of `file` name. A path that leaves the root begins with `..`. */
export function importedFiles(file: string, source: string): string[] {
  return importsOf(source)
    .filter((name) => name.startsWith('.'))
    .map((name) => path.posix.join(path.posix.dirname(file), name));
}

export function readImports(root: string, files: readonly string[]): ImportGraph {
  const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
  return new Map(files.map((file) => [file, importedFiles(file, read(file))]));
}

function isAllowed(arrows: Arrows, folder: string, target: string): boolean {
  if (target === folder) return true;
  const allowed = arrows[folder] ?? [];
  return allowed.some(
    (one) => one === target || (one.endsWith('/*') && target.startsWith(one.slice(0, -1))),
  );
}

/** Imports of `file` that no arrow allows, one line each. */
export function wrongArrows(arrows: Arrows, file: string, imported: readonly string[]): string[] {
  const folder = path.posix.dirname(file);
  return imported
    .map((target) => path.posix.dirname(target))
    .filter((target) => !isAllowed(arrows, folder, target))
    .map((target) => `${file} → ${target}`);
}

/** A circle that can be reached from `file`, or undefined. `done` holds files without one. */
function findCircle(
  file: string,
  imports: ImportGraph,
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

/** The first circle of imports as one line; empty when there is none. */
export function circlesOf(imports: ImportGraph): string[] {
  const done = new Set<string>();
  for (const file of imports.keys()) {
    const circle = findCircle(file, imports, done);
    if (circle) return [circle.join(' → ')];
  }
  return [];
}
