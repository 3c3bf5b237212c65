/** Temporary folders that vanish with the test that asked for them. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach } from 'vitest';

export interface TempFolder {
  /** Path of `name` inside the folder; nothing is made there. */
  path(...names: string[]): string;
  /** A new folder inside. */
  make(name: string): string;
}

/** Gives each test of the file or block an empty folder of its own. */
export function useTempFolder(): TempFolder {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'ovirt-cbt-test-'));
  });
  afterEach(() => {
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
