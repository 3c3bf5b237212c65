/** A directory of its own for each test, removed afterwards. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Makes a directory for the running test. */
export function tempDir(): string {
  const path = mkdtempSync(join(tmpdir(), 'ovirt-cbt-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
