/** Temporary folders that vanish with the test that asked for them. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';

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

type Hook = (work: () => void) => void;

function folderWithin(before: Hook, after: Hook): TempFolder {
  let root = '';
  before(() => {
    root = mkdtempSync(path.join(tmpdir(), 'ovirt-cbt-test-'));
  });
  after(() => {
    rmSync(root, { recursive: true, force: true });
  });
  return {
    path: (...names) => path.join(root, ...names),
    make: (name) => {
      const folder = path.join(root, name);
      mkdirSync(folder, { recursive: true });
      return folder;
    },
  };
}
