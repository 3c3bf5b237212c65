/** Texts for a second Ctrl-C: what may be left, with a command that can be pasted into a shell. */
import { describe, expect, it } from 'vitest';
import { leftByBackup, leftByRestoreVm, leftByStream } from '../../../src/cli/leftTexts.ts';
import { onlyVm } from '../../../src/cli/flags/vmFlags.ts';

describe('the text of a second Ctrl-C', () => {
  it('names the VM, or tells that each VM has a cleanup of its own', () => {
    expect(leftByBackup('web01', '/srv/b')).toContain('cleanup --vm web01 --repo /srv/b"');
    expect(leftByBackup(undefined, '/srv/b')).toContain('cleanup --vm NAME --repo /srv/b"');
  });

  it('quotes names for the shell', () => {
    const text = leftByRestoreVm("it's web", 'new', '/srv/my backups');

    expect(text).toContain(String.raw`--vm 'it'\''s web' --repo '/srv/my backups'"`);
  });

  it('of a stream without a repository names only the next stream', () => {
    expect(leftByStream('web01', undefined)).not.toContain('cleanup');
    expect(leftByStream('web01', '/srv/b')).toContain('cleanup --vm web01 --repo /srv/b"');
  });
});

describe('one VM by its plain name', () => {
  it.each([
    [{ vm: ['web01'] }, 'web01'],
    [{ vm: ['web01', 'web02'] }, undefined],
    [{ vm: ['web*'] }, undefined],
    [{ vm: ['web01'], excludeVm: ['web02'] }, undefined],
    [{ vm: ['web01'], vmFile: 'list' }, undefined],
    [{ all: true }, undefined],
  ])('%j gives %s', (flags, expected) => {
    expect(onlyVm(flags)).toBe(expected);
  });
});
