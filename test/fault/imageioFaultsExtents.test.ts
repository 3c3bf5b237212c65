/** Rows 49 to 52 of the fault table: lists of extents that are refused, slow, old or wrong. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import {
  addVm,
  countRequests,
  DIRTY_EXTENTS,
  expectFrozenView,
  expectUncommitted,
  EXTENTS,
  fileKindsOf,
  makeScene,
} from '../helpers/faults/sessionFaults.ts';
import { KIB } from '../helpers/bytes/images.ts';
import { LAB_TIMINGS } from '../helpers/lab/plainLab.ts';
import { useLab } from '../helpers/lab/useLab.ts';

interface WireExtent {
  readonly start: number;
  readonly length: number;
}
type Corrupt = (extents: WireExtent[]) => object[];

const G = 64 * KIB;
const first = (extents: WireExtent[]): WireExtent => extents[0] ?? { start: 0, length: G };

/** Each fault makes a list that is impossible for the lab's disk of 4 MiB and 4 KiB. */
const WRONG_LISTS: readonly (readonly [string, Corrupt])[] = [
  ['that ends before the disk does', (list) => list.slice(0, -1)],
  [
    'that goes beyond the disk',
    (list) => [...list, { ...first(list), start: 4 * 1024 * KIB + 4 * KIB, length: G }],
  ],
  [
    'with a gap',
    (list) => [{ ...first(list), length: first(list).length - 512 }, ...list.slice(1)],
  ],
  [
    'with an overlap',
    (list) => [{ ...first(list), length: first(list).length + 512 }, ...list.slice(1)],
  ],
  ['that is unsorted', (list) => list.toReversed()],
  ['with a length beyond all disks', (list) => [{ ...first(list), length: 2 ** 60 }]],
];

describe('row 49: a change map that is refused', () => {
  const bench = useLab();

  it('makes the disk a compared one, whose increment is small', async () => {
    const { vm, changedBytes } = await makeScene(bench);
    bench.lab.faults.add(DIRTY_EXTENTS, {
      status: 404,
      body: 'Ticket does not support dirty extents',
    });

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['CBT-107']);
    expect(report.disks[0]).toMatchObject({ mode: 'compare', changedBytes });
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 50: extents that take longer than a transfer may be idle', () => {
  const bench = useLab();

  it('are waited for while the ticket is pinged', async () => {
    const { vm } = await makeScene(bench);
    const pings = (): number => countRequests(bench.lab, { server: 'imageio', method: 'OPTIONS' });
    bench.lab.faults.add(EXTENTS, {
      run: async () => {
        const before = pings();
        await expect.poll(pings, { timeout: 20_000 }).toBeGreaterThan(before + 3);
      },
    });

    const report = await bench.backup(vm, { engine: bench.settings({ pingEveryMs: 20 }) });

    expect(report.disks[0]).toMatchObject({ mode: 'incremental' });
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });

  it('are given up after their own, long deadline, and the old base stays', async () => {
    const scene = await makeScene(bench);
    const hang = bench.lab.faults.add(EXTENTS, { hang: true });

    const engine = bench.settings({ imageioExtentsMs: 100, blockRetryMs: 1 });
    await expectUncommitted(bench, scene, 'TRANSFER_READ_FAILED', { engine });

    expect(bench.lab.faults.fired(hang)).toBe(1);
    expect(LAB_TIMINGS.imageioExtentsMs).toBeGreaterThan(10 * LAB_TIMINGS.imageioReadMs);
  });
});

describe('row 51: extents of an older server', () => {
  const bench = useLab();

  it('are understood without `hole`, and without `zero` in the change map', async () => {
    const { lab } = bench;
    lab.faults.add(
      { ...EXTENTS, path: /context=zero/ },
      {
        corruptExtents: (list) => list.map((one) => ({ ...one, hole: undefined })),
      },
    );
    lab.faults.add(DIRTY_EXTENTS, {
      corruptExtents: (list) => list.map((one) => ({ ...one, zero: undefined })),
    });
    const { vm, disk } = await makeScene(bench);
    disk.zero(2 * 1024 * KIB, 512 * KIB);

    const report = await bench.backup(vm);

    expect(report.disks[0]).toMatchObject({ mode: 'incremental' });
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 52: a list of extents', () => {
  const bench = useLab();

  it.each(WRONG_LISTS)('%s is never committed', async (_title, corrupt) => {
    const vm = addVm(bench.lab);
    bench.lab.faults.add(EXTENTS, { corruptExtents: (list) => corrupt(list as WireExtent[]) });

    const error = await expectCode(bench.backup(vm), 'TRANSFER_BAD_EXTENTS');

    expect(exitCodeOf(error)).toBe(1);
    expect(fileKindsOf(bench)).toEqual(['chain metadata']);
    expect(bench.lab.traffic.readBytes.size).toBe(0);
  });

  it('whose JSON ends in the middle is never committed', async () => {
    const vm = addVm(bench.lab);
    const body = '[{"start":0,"length":4198400,"zero":true,"hole":true}';
    bench.lab.faults.add(EXTENTS, { status: 200, body });

    await expectCode(bench.backup(vm), 'TRANSFER_BAD_EXTENTS');

    expect(fileKindsOf(bench)).toEqual(['chain metadata']);
  });

  it('of changes that is too short leaves the old base', async () => {
    const scene = await makeScene(bench);
    bench.lab.faults.add(DIRTY_EXTENTS, { corruptExtents: (list) => list.slice(0, -1) });

    const error = await expectUncommitted(bench, scene, 'TRANSFER_BAD_EXTENTS');

    expect(error.details).toMatchObject({ diskId: scene.disk.id });
  });
});
