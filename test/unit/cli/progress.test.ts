import { beforeEach, describe, expect, test } from 'vitest';
import { formatArea } from '../../../src/cli/output/progress.ts';
import { overlayLines } from '../../../src/cli/output/progress/exportCounts.ts';
import {
  createRowColumns,
  formatRows,
  type ProgressRow,
} from '../../../src/cli/output/progress/progressRows.ts';
import { VmProgress } from '../../../src/cli/output/progress/vmProgress.ts';
import { widthOf } from '../../../src/cli/output/text.ts';
import type { ProgressEvent, ProgressPhase } from '../../../src/sessions/shared/progress.ts';

const GIB = 1024 ** 3;
const SESSION = { sessionId: 's1', vmName: 'web01', vmId: 'v1' };
const HALF: ProgressRow = {
  vmName: 'web01',
  text: 'reading',
  ratio: 0.5,
  done: '1.00 GiB of 2.00 GiB',
  rate: 'read 512.0 MiB/s',
  left: '12 s left',
};
const WIDTHS = [1, 20, 40, 63, 64, 70, 80, 140, 200] as const;

let vm: VmProgress;
let nowMs: number;
beforeEach(() => {
  vm = new VmProgress();
  nowMs = 0;
});

function take(...events: readonly DistributiveOmit<ProgressEvent, keyof typeof SESSION>[]): void {
  for (const event of events) vm.take({ ...SESSION, ...event }, nowMs);
}
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function begin(phase: ProgressPhase, ...dataBytes: readonly (number | undefined)[]): void {
  const disks = dataBytes.map((bytes, k) => ({ ...diskOf(k), dataBytes: bytes }));
  take({ type: 'disksPlanned', disks }, { type: 'phase', phase });
  for (const disk of disks) take({ type: 'diskStarted', ...disk });
}

function diskOf(k: number): { diskId: string; alias: string; sizeBytes: number } {
  return { diskId: `d${k}`, alias: `disk${k}`, sizeBytes: 10 * GIB };
}

/** The row after some time, with the disk drawn before. */
function rowAfter(ms: number, counts: { doneBytes: number; sentBytes?: number }): ProgressRow {
  vm.row(nowMs);
  nowMs += ms;
  const { diskId, alias } = diskOf(0);
  take({ type: 'diskProgress', diskId, alias, readBytes: counts.doneBytes, ...counts });
  return vm.row(nowMs);
}

function line(row: ProgressRow, columns: number): string {
  return formatRows([row], columns)[0] ?? '';
}

describe('the progress line', () => {
  test('shows share, bytes, rate and time left', () => {
    expect(line(HALF, 140)).toMatch(
      /^web01 reading █{31}░{31}  50% \|   1\.00 GiB of 2\.00 GiB \| read 512\.0 MiB\/s \|   12 s left$/,
    );
  });

  test('shows what is not known yet as a question mark', () => {
    begin('reading', undefined);

    expect(line(vm.row(nowMs), 80)).toMatch(/^web01 reading ░+ {5} \| +0 B of \?$/);
  });

  test.each(WIDTHS)('is shorter than a terminal of %d columns', (columns) => {
    expect(line(HALF, columns).length).toBeLessThan(columns);
  });

  test('has no bar where there is no room for one', () => {
    expect(line(HALF, 20)).toBe('web01 reading   50%');
  });

  test('is full at the end, also when more is done than the disk is large', () => {
    expect(line({ ...HALF, ratio: 1 }, 140)).toMatch(/█{62} 100% /);
    begin('reading', GIB);
    expect(rowAfter(5000, { doneBytes: 3 * GIB }).text).toBe('finishing, 1.00 GiB done');
  });

  test.each([
    [50, /^web01 reading █{8}░{8}  50% \|   12 s left$/],
    [80, /^web01 reading █{10}░{11}  50% \|   1\.00 GiB of 2\.00 GiB \|   12 s left$/],
    [140, /^web01 reading █{31}░{31} .* \| read .* \|   12 s left$/],
    [200, /^web01 reading █{61}░{61} .* \| read .* \|   12 s left$/],
  ])('of %d columns leaves out figures, not the bar', (columns, expected) => {
    expect(line(HALF, columns)).toMatch(expected);
  });

  test('shows the phase instead of a bar while no bytes are moved', () => {
    take({ type: 'phase', phase: 'finalizing' });

    expect(line(vm.row(nowMs), 80)).toBe('web01 waiting for the engine to finalize');
    expect(line(vm.row(12_000), 80)).toBe('web01 waiting for the engine to finalize, 12 s');
  });

  test('shows what the session waits for, and since when', () => {
    begin('reading', GIB);
    take({ type: 'waiting', waitsFor: 'engine', reason: 'ECONNREFUSED' });
    nowMs += 12_000;
    take({ type: 'waiting', waitsFor: 'engine', reason: 'HTTP 503' });

    const text = 'web01 waiting: the engine does not answer (HTTP 503), 12 s';
    expect(line(vm.row(nowMs), 80)).toBe(text);
    expect(line(vm.row(nowMs), 50)).toBe('web01 waiting: the engine does not answer …, 12 s');
    take({ type: 'resumed' });
    expect(vm.row(nowMs).text).toBe('reading');
  });

  test('shows no wait while bytes are read all the same', () => {
    begin('reading', GIB);
    take({ type: 'waiting', waitsFor: 'imageServer', reason: 'ECONNRESET' });
    vm.row(nowMs);

    expect(rowAfter(5000, { doneBytes: GIB / 4 }).text).toBe('reading');
    expect(vm.row(nowMs + 60_000).text).toBe(
      'waiting: the image server does not answer (ECONNRESET)',
    );
  });

  test('says "sent" in an upload', () => {
    begin('uploading', GIB);

    const row = rowAfter(4000, { doneBytes: GIB / 4, sentBytes: GIB / 4 });

    expect(row).toMatchObject({ rate: 'sent 64.0 MiB/s', done: '256.0 MiB of 1.00 GiB' });
    expect(row).toMatchObject({ text: 'uploading', ratio: 0.25, left: '12 s left' });
  });

  test('says no verb in a restore, and has the rate of restored bytes', () => {
    begin('writing', GIB);
    vm.row(nowMs);
    nowMs += 4000;
    const { diskId, alias } = diskOf(0);
    take({ type: 'diskProgress', diskId, alias, readBytes: 5, doneBytes: GIB / 4 });

    expect(vm.row(nowMs)).toMatchObject({ text: 'restoring', rate: '64.0 MiB/s' });
  });

  test.each([
    [59_000, '59 s left'],
    [300_000, '5 min left'],
    [5_400_000, '1.5 h left'],
  ])('shows %d ms left in one figure', (leftMs, text) => {
    begin('reading', 4000 + leftMs);

    expect(rowAfter(4000, { doneBytes: 4000 }).left).toBe(text);
  });

  test.each(WIDTHS)('keeps the length of its bar in %d columns', (columns) => {
    const kept = createRowColumns();
    const early = { ...HALF, ratio: 'unknown', done: '0 B of ?', rate: '', left: '' } as const;
    const rows = [early, { ...HALF, rate: '' }, HALF, { ...HALF, rate: 'read 1.23 GiB/s' }];

    const bars = rows.map((row) =>
      (formatRows([row], columns, kept)[0] ?? '').replaceAll(/[^█░]/g, ''),
    );

    expect(new Set(bars.map((bar) => bar.length)).size).toBe(1);
  });

  test('counts the time left from data, not from the size of the disk', () => {
    begin('reading', 10_000);

    expect(rowAfter(4000, { doneBytes: 2000 }).left).toBe('16 s left');
  });

  test('shows no time left that is below a second', () => {
    begin('reading', 10_000);

    expect(rowAfter(4000, { doneBytes: 9000 }).left).toBe('');
  });

  test('shows no rate and no time left before they are known', () => {
    begin('reading', 10_000);

    expect(rowAfter(500, { doneBytes: 20 })).toMatchObject({ rate: '', left: '' });
  });

  test('shows no total while a disk waits whose data is not known, and is not full then', () => {
    begin('reading', GIB);
    take({ type: 'disksPlanned', disks: [diskOf(0), diskOf(1)] });
    take({ type: 'diskStarted', ...diskOf(0), dataBytes: GIB });

    const row = rowAfter(4000, { doneBytes: GIB });

    expect(row).toMatchObject({ ratio: 'unknown', done: '1.00 GiB of ?', left: '' });
  });

  test('never goes back', () => {
    take({ type: 'disksPlanned', disks: [diskOf(0), diskOf(1)] });
    take({ type: 'phase', phase: 'reading' });
    take({ type: 'diskStarted', ...diskOf(0), dataBytes: GIB });
    expect(rowAfter(4000, { doneBytes: GIB }).ratio).toBe('unknown');

    take({ type: 'diskStarted', ...diskOf(1), dataBytes: 3 * GIB });

    expect(vm.row(nowMs)).toMatchObject({ ratio: 0.25, done: '1.00 GiB of 4.00 GiB' });
  });

  test('starts again when the session starts again', () => {
    begin('reading', GIB);
    rowAfter(4000, { doneBytes: GIB / 2 });

    begin('reading', GIB);

    expect(vm.row(nowMs)).toMatchObject({ ratio: 0, rate: '' });
  });
});

describe('the lines of several VMs', () => {
  const LONG = 'datenbank-server-mit-einem-sehr-langen-namen.example.org';

  test.each(WIDTHS)('have bars of one length in %d columns, and fit', (columns) => {
    const rows = [HALF, { ...HALF, vmName: LONG, text: 'uploading', left: '' }];

    const bars = formatRows(rows, columns).map((text) => text.replaceAll(/[^█░]/g, '').length);

    expect(bars[0]).toBe(bars[1]);
    for (const text of formatRows(rows, columns)) expect(text.length).toBeLessThan(columns);
  });

  test.each(WIDTHS)('fit in %d columns with names of wide letters', (columns) => {
    const rows = [HALF, { ...HALF, vmName: 'データベースサーバー本番環境' }];

    for (const text of formatRows(rows, columns)) expect(widthOf(text)).toBeLessThan(columns);
  });

  test('cut a long name', () => {
    expect(line({ ...HALF, vmName: LONG }, 80)).toMatch(/^datenbank-server-mit-ei… reading /);
  });

  test('are as many as fit; the last line counts the others', () => {
    take({ type: 'phase', phase: 'committing' });

    const lines = formatArea([vm, vm, vm, vm, vm], { columns: 80, rows: 4 }, nowMs);

    expect(lines).toEqual(['web01 committing', 'web01 committing', '… and 3 more VMs']);
  });
});

test.each([
  ['the point of a repository', false, /^--point 7 goes on .* do not prune/],
  ['files', true, /^the same command goes on .* they need these files$/],
])('the end of an export tells how to go on with an overlay of %s', (_what, isOfFiles, text) => {
  const overlay = { exportName: 'root', folder: '/o/id', isKept: true, changedBytes: 65_536 };

  const [disk, way] = overlayLines([overlay], 7, isOfFiles);

  expect(disk).toBe('root: 64.0 KiB changed, kept in /o/id');
  expect(way).toMatch(text);
  expect(overlayLines([{ ...overlay, isKept: false }], 7, isOfFiles)).toEqual([
    'root: 64.0 KiB changed, deleted',
  ]);
});
