/** Where the job file is: named, in the working folder, or in /etc. */
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { jobFileOf, withJobFile } from '../../../src/cli/flags/jobFlags.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

afterEach(() => {
  vi.unstubAllEnvs();
});

function fileOf(args: readonly string[]): string | undefined {
  const command = withJobFile(new Command()).parse(args, { from: 'user' });
  return command.opts<{ file?: string }>().file;
}

describe('the job file', () => {
  it('is named by --file, then by OVIRT_CBT_FILE', () => {
    vi.stubEnv('OVIRT_CBT_FILE', '/variable.yaml');

    expect(fileOf(['--file', '/flag.yaml'])).toBe('/flag.yaml');
    expect(fileOf([])).toBe('/variable.yaml');
  });

  it('is an absolute path', () => {
    expect(jobFileOf({ file: 'jobs.yaml' }, '/srv')).toBe('/srv/jobs.yaml');
  });

  it('is in the working folder when none is named', () => {
    writeFileSync(temp.path('ovirt-cbt.yaml'), '');

    expect(jobFileOf({}, temp.path())).toBe(temp.path('ovirt-cbt.yaml'));
  });

  it('that is nowhere is an error that says where it was looked for', () => {
    expect(() => jobFileOf({}, temp.make('empty'))).toThrow(
      'neither ovirt-cbt.yaml in this folder nor /etc/ovirt-cbt/ovirt-cbt.yaml',
    );
  });

  it('with an empty name is an error', () => {
    expect(() => jobFileOf({ file: '' })).toThrow('--file is empty');
  });
});
