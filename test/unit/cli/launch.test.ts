import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

const LAUNCH = path.resolve(import.meta.dirname, '../../../dist/cli/launch.cjs');

it('starts without a word on stderr, on every version of Node', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [LAUNCH, '--version'], {
    encoding: 'utf8',
  });

  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});
