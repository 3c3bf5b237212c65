/** Temporary folders in memory where the system has them: for tests that sync often and need no disk for it. */
import { accessSync, constants, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const IN_MEMORY = '/dev/shm';

function parentFolder(): string {
  try {
    accessSync(IN_MEMORY, constants.W_OK);
    return IN_MEMORY;
  } catch {
    return tmpdir();
  }
}

/** A new folder, which the caller deletes. */
export function makeFastFolder(purpose: string): string {
  return mkdtempSync(path.join(parentFolder(), `ovirt-cbt-${purpose}-`));
}
