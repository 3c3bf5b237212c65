/** What a journal of a restore says was made on the engine. */
import { describe, expect, test } from 'vitest';
import type { JournalEntry } from '../../../src/repository/journal.ts';
import { createdOnEngine } from '../../../src/session/restoreCleanup.ts';

const NOTHING = { transferIds: [], vmIds: [], diskIds: [], diskNames: [], vmNames: [] };

const asking = (name: string): JournalEntry => ({ step: 'disk-starting', name });
const made = (name: string): JournalEntry => ({ step: 'disk', diskId: `id of ${name}`, name });
const askingVm: JournalEntry = { step: 'vm-starting', name: 'web01-new' };
const madeVm: JournalEntry = { step: 'vm', vmId: 'v1' };

describe('createdOnEngine', () => {
  test('is nothing for an empty journal', () => {
    expect(createdOnEngine([])).toEqual(NOTHING);
  });

  test('holds the name of a disk whose id never arrived', () => {
    expect(createdOnEngine([asking('a')])).toEqual({ ...NOTHING, diskNames: ['a'] });
  });

  test('holds a disk by its id alone once that is known, for its name may be taken again', () => {
    expect(createdOnEngine([asking('a'), made('a')])).toEqual({ ...NOTHING, diskIds: ['id of a'] });
  });

  test('tells disks apart that are made at once', () => {
    const steps = [asking('a'), asking('b'), made('b')];

    expect(createdOnEngine(steps)).toEqual({
      ...NOTHING,
      diskIds: ['id of b'],
      diskNames: ['a'],
    });
  });

  test('holds the name of a VM whose id never arrived', () => {
    expect(createdOnEngine([askingVm])).toEqual({ ...NOTHING, vmNames: ['web01-new'] });
  });

  test('holds a VM by its id alone once that is known', () => {
    expect(createdOnEngine([askingVm, madeVm])).toEqual({ ...NOTHING, vmIds: ['v1'] });
  });

  test('holds uploads until they are done', () => {
    const opened = ['t1', 't2'].map(
      (transferId): JournalEntry => ({ step: 'transfer', transferId, diskId: 'd1' }),
    );
    const done: JournalEntry = { step: 'transfer-done', transferId: 't1' };

    expect(createdOnEngine([...opened, done]).transferIds).toEqual(['t2']);
  });
});
