/** Texts and numbers of the console's page, without a browser. */
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LiveSession, VmRow } from '../../../src/console/contract.ts';
import { formatBytes, formatDuration } from '../../../src/core/units.ts';
import { ageText } from '../../../src/report/words.ts';

/** Modules of the page are plain JavaScript, which the compiler of the product does not read. */
async function load<T>(name: string): Promise<T> {
  return (await import(path.resolve('src/console/page', name))) as T;
}

const vm = (vmName: string, changes: Partial<VmRow> = {}): VmRow => ({
  jobName: 'nightly',
  vmKey: `id of ${vmName}`,
  vmName,
  health: 'good',
  lastOutcome: 'success',
  ...changes,
});

const namesOf = (vms: readonly VmRow[]): string[] => vms.map(({ vmName }) => vmName);

const at = (doneBytes: number, changes: Partial<LiveSession> = {}): LiveSession => ({
  sessionId: 'one',
  vmName: 'web01',
  vmId: '',
  startedAt: '2026-11-30T01:02:03.000Z',
  phase: 'reading',
  disks: [{ diskId: 'a', alias: 'a', sizeBytes: 1e4, dataBytes: 1000, doneBytes, readBytes: 0 }],
  ...changes,
});

describe('texts', () => {
  let words: {
    bytesText(bytes: number | undefined): string;
    durationText(seconds: number | undefined): string;
    ageText(ageMs: number): string;
    timeText(iso: string): string;
    percentOf(part: number, whole: number): number;
  };
  beforeAll(async () => {
    words = await load('words.js');
  });

  it.each([0, 1, 1023, 1024, 1536, 1023.94 * 1024, 1023.96 * 1024, 10 * 1024 ** 3, 5 * 1024 ** 5])(
    'of %d bytes is that of the command line',
    (bytes) => {
      expect(words.bytesText(bytes)).toBe(formatBytes(bytes));
    },
  );

  it.each([0, 0.95, 1, 12.34, 59.94, 59.96, 200, 3599.6, 7500, 90_000])(
    'of %d seconds is that of the command line',
    (seconds) => {
      expect(words.durationText(seconds)).toBe(formatDuration(seconds * 1000));
    },
  );

  it.each([-5, 0, 59_999, 3_600_000, 47 * 3_600_000, 52 * 3_600_000, 300 * 3_600_000])(
    'of an age of %d ms is that of reports',
    (ageMs) => {
      expect(words.ageText(ageMs)).toBe(ageText(ageMs));
    },
  );

  it('of what is unknown or no time is empty or stays', () => {
    expect(words.bytesText(undefined)).toBe('');
    expect(words.durationText(undefined)).toBe('');
    expect(words.timeText('soon')).toBe('soon');
  });

  it('of percents never passes 100, and never tells 100 too early', () => {
    expect(words.percentOf(999, 1000)).toBe(99);
    expect(words.percentOf(1001, 1000)).toBe(100);
    expect(words.percentOf(1, 0)).toBe(0);
  });
});

describe('order of VMs', () => {
  let order: {
    ordered(vms: readonly VmRow[], sort: string): VmRow[];
    found(vms: readonly VmRow[], search: string): readonly VmRow[];
    sortOf(sort: string): { key: string; isDescending: boolean };
  };
  beforeAll(async () => {
    order = await load('views/vmOrder.js');
  });

  const rows = [
    vm('web10', { lastReadBytes: 5 }),
    vm('web9', { lastReadBytes: 7, health: 'damaged' }),
    vm('Db', { health: 'late', jobName: 'weekly' }),
  ];

  it('counts numbers in names', () => {
    expect(namesOf(order.ordered(rows, 'name'))).toEqual(['Db', 'web9', 'web10']);
  });

  it('has the unknown last in both directions', () => {
    expect(namesOf(order.ordered(rows, 'read'))).toEqual(['web10', 'web9', 'Db']);
    expect(namesOf(order.ordered(rows, '-read'))).toEqual(['web9', 'web10', 'Db']);
  });

  it('has the worst state first', () => {
    expect(namesOf(order.ordered(rows, 'state'))).toEqual(['web9', 'Db', 'web10']);
  });

  it('by a key that there is not is that by name', () => {
    expect(order.sortOf('-constructor')).toEqual({ key: 'name', isDescending: true });
  });

  it('follows a search for parts of names, jobs and ids', () => {
    expect(namesOf(order.found(rows, 'WEB 9'))).toEqual(['web9']);
    expect(namesOf(order.found(rows, 'weekly'))).toEqual(['Db']);
    expect(namesOf(order.found(rows, 'id of'))).toHaveLength(3);
    expect(order.found(rows, ' ')).toBe(rows);
  });
});

describe('time left', () => {
  let progress: {
    noteProgress(session: LiveSession, nowMs: number): void;
    timeLeftMs(session: LiveSession): number | undefined;
  };
  beforeAll(async () => {
    progress = await load('state/progress.js');
  });

  it('is told after two seconds, from the rate of the last half minute', () => {
    progress.noteProgress(at(0), 0);
    progress.noteProgress(at(100), 1000);
    const early = progress.timeLeftMs(at(100));
    progress.noteProgress(at(200), 4000);
    const later = progress.timeLeftMs(at(200));
    progress.noteProgress(at(900), 40_000);
    progress.noteProgress(at(950), 45_000);

    expect(early).toBeUndefined();
    expect(later).toBe(16_000);
    expect(progress.timeLeftMs(at(950))).toBe(5000);
  });

  it('begins anew with each phase, and is unknown without a size', () => {
    progress.noteProgress(at(960, { phase: 'committing' }), 46_000);
    const other = progress.timeLeftMs(at(960, { phase: 'committing' }));
    progress.noteProgress(at(0, { disks: [], phase: 'preparing' }), 50_000);
    progress.noteProgress(at(0, { disks: [], phase: 'preparing' }), 60_000);

    expect(other).toBeUndefined();
    expect(progress.timeLeftMs(at(0, { disks: [] }))).toBeUndefined();
  });
});
