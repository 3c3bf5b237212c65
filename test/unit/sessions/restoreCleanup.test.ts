import { describe, expect, it } from 'vitest';
import type { JournalEntry } from '../../../src/repository/journal.ts';
import { createdOnEngine } from '../../../src/sessions/cleanup/restoreCleanup.ts';

const NOTHING = { marker: '', transferIds: [], vmIds: [], diskIds: [], diskNames: [], vmNames: [] };

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

  it('bears the mark of the session that made it', () => {
    const [one, other] = ['s1', 's2'].map((sessionId) => createdOnEngine([sessionOf(sessionId)]));

    expect(one?.marker).toContain('s1');
    expect(one?.marker).not.toBe(other?.marker);
  });

  it('is nothing any more once the restore is done', () => {
    const entries: JournalEntry[] = [
      sessionOf('s1'),
      { step: 'disk-starting', name: 'a' },
      { step: 'disk', diskId: 'd1', name: 'a' },
      { step: 'vm-starting', name: 'vm' },
      { step: 'vm', vmId: 'v1', name: 'vm' },
      { step: 'restore-done' },
    ];

    expect(createdOnEngine(entries)).toEqual(NOTHING);
  });
});

function sessionOf(sessionId: string): JournalEntry {
  const process = { host: 'h', bootId: 'b', pid: 1, processStart: '1' };
  return { step: 'session', kind: 'restore', sessionId, vmId: 'v0', vmName: 'vm', process };
}
