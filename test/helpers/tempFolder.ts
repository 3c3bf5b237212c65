/** Temporary folders of tests, deleted when their tests have ended. */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, onTestFinished } from 'vitest';
import { makeFolder } from './folders.ts';

export interface TempFolder {
  /** Path of `name` inside the folder; nothing is made there. */
  path(...names: string[]): string;
  /** A new folder inside. */
  make(name: string): string;
}

/** Gives each test of the file or block an empty folder of its own. */
export function useTempFolder(): TempFolder {
  return folderWithin(beforeEach, afterEach);
}

/** Gives all tests of the file or block one folder together. */
export function useSharedTempFolder(): TempFolder {
  return folderWithin(beforeAll, afterAll);
}

/** Makes a folder for the test that runs now. @returns its path. */
export function tempFolderOfTest(): string {
  const folder = makeFolder('test');
  onTestFinished(() => remove(folder));
  return folder;
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

type Hook = (work: () => void) => void;

function folderWithin(before: Hook, after: Hook): TempFolder {
  let root = '';
  before(() => {
    root = makeFolder('test');
  });
  after(() => remove(root));
  return {
    path: (...names) => path.join(root, ...names),
    make: (name) => {
      const folder = path.join(root, name);
      mkdirSync(folder, { recursive: true });
      return folder;
    },
  };
}
