import { describe, expect, it } from 'vitest';
import type { JournalEntry } from '../../../src/repository/journal.ts';
import { createdOnEngine } from '../../../src/session/restoreCleanup.ts';

const NOTHING = { transferIds: [], vmIds: [], diskIds: [], diskNames: [], vmNames: [] };

describe('what a restore has made, by its journal', () => {
  it('is nothing at first', () => {
    expect(createdOnEngine([])).toEqual(NOTHING);
  });

  it('is known by id, and then never by name', () => {
    const entries: JournalEntry[] = [
      { step: 'disk-starting', name: 'a' },
      { step: 'disk-starting', name: 'b' },
      { step: 'disk', diskId: 'd1', name: 'b' },
      { step: 'vm-starting', name: 'vm' },
      { step: 'vm', vmId: 'v1', name: 'vm' },
    ];

    const created = createdOnEngine(entries);

    expect(created).toEqual({ ...NOTHING, diskIds: ['d1'], vmIds: ['v1'], diskNames: ['a'] });
  });

  it('is nothing of a name that the engine has refused', () => {
    const entries: JournalEntry[] = [
      { step: 'disk-starting', name: 'a' },
      { step: 'refused', name: 'a' },
      { step: 'vm-starting', name: 'vm' },
      { step: 'refused', name: 'vm' },
    ];

    expect(createdOnEngine(entries)).toEqual(NOTHING);
  });

  it('has open transfers only', () => {
    const entries: JournalEntry[] = [
      { step: 'transfer-starting', diskId: 'd1' },
      { step: 'transfer', transferId: 't1', diskId: 'd1' },
      { step: 'transfer', transferId: 't2', diskId: 'd2' },
      { step: 'transfer-done', transferId: 't1' },
    ];

    expect(createdOnEngine(entries)).toEqual({ ...NOTHING, transferIds: ['t2'] });
  });
});
