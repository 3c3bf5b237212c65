import { describe, expect, it } from 'vitest';
import { hidingVersions, type ObjectVersion } from '../../../../src/store/s3/undelete.ts';

function versionsOf(key: string, kinds: string): ObjectVersion[] {
  return Array.from(kinds).map((kind, k) => ({
    key,
    versionId: `${kind}${k}`,
    isMarker: kind === 'm',
    isLatest: k === kinds.length - 1,
  }));
}

/** @param kinds - the oldest first: `v` for a version, `m` for a marker. */
function hidden(key: string, kinds: string): string[] {
  const targets = hidingVersions(versionsOf(key, kinds).toReversed());
  return targets.map(({ versionId = '' }) => versionId).toSorted();
}

describe('versions that hide', () => {
  it.each([
    ['p/vm/a.vbk', 'v', []],
    ['p/vm/a.vbk', 'vm', ['m1']],
    ['p/vm/a.vib', 'vv', ['v1']],
    ['p/vm/a.vib', 'vvmvm', ['m2', 'm4', 'v1', 'v3']],
    ['p/vm/a.vbm', 'vvv', []],
    ['p/vm/a.vbm', 'vvm', ['m2']],
    ['p/ovirt-cbt.json', 'vm', ['m1']],
    ['ovirt-cbt.keys.json', 'vmm', ['m1', 'm2']],
    ['p/ovirt-cbt.key.1.2.age', 'vm', ['m1']],
    ['p/vm/lock', 'vm', []],
    ['p/vm/journal.ndjson', 'vm', []],
    ['p/vm/gone.vbk', 'm', []],
  ] as const)('of %s, written as %s, are %j', (key, kinds, wanted) => {
    expect(hidden(key, kinds)).toEqual(wanted);
  });
});
