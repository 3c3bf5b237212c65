import { describe, expect, it } from 'vitest';
import { ExtentList } from '../../../src/ovirt/imageio/extentList.ts';
import type { Extent } from '../../../src/flow/records.ts';
import { expectCodeSync } from '../../helpers/errors.ts';

/** Extents with all combinations of flags in turn. */
function manyExtents(count: number): Extent[] {
  const flags = [true, false].flatMap((zero) =>
    [true, false, undefined].map((dirty) => ({ zero, dirty })),
  );
  return Array.from({ length: count }, (_, k) => ({
    offsetBytes: k * 512,
    lengthBytes: 512,
    zero: flags[k % flags.length]?.zero ?? false,
    dirty: flags[k % flags.length]?.dirty,
  }));
}

describe('a list of extents', () => {
  it('gives back what was put in, however long it is', () => {
    const extents = manyExtents(2000);
    const list = new ExtentList();

    for (const extent of extents) list.append(extent);

    expect([...list]).toEqual(extents);
    expect([...list]).toEqual(extents);
    expect(list).toMatchObject({ count: 2000, endBytes: 2000 * 512 });
  });

  it('that is empty ends at 0', () => {
    const list = new ExtentList();

    expect([...list]).toEqual([]);
    expect(list).toMatchObject({ count: 0, endBytes: 0 });
  });

  it.each([
    ['begins behind the start', 1, 512],
    ['has no length', 0, 0],
    ['has a negative length', 0, -512],
    ['has a length that is no number', 0, Number.NaN],
    ['has a length without end', 0, Number.POSITIVE_INFINITY],
    ['ends beyond exact numbers', 0, 2 ** 53],
  ])('refuses a first extent that %s', (_title, offsetBytes, lengthBytes) => {
    const list = new ExtentList();

    expectCodeSync(
      () => list.append({ offsetBytes, lengthBytes, zero: false }),
      'TRANSFER_BAD_EXTENTS',
    );
    expect(list.count).toBe(0);
  });

  it.each([
    ['a gap', 1024],
    ['an overlap', 256],
    ['a repetition', 0],
  ])('refuses %s', (_title, offsetBytes) => {
    const list = new ExtentList();
    list.append({ offsetBytes: 0, lengthBytes: 512, zero: false });

    expectCodeSync(
      () => list.append({ offsetBytes, lengthBytes: 512, zero: false }),
      'TRANSFER_BAD_EXTENTS',
    );
  });

  it('holds a disk of the largest exact size', () => {
    const list = new ExtentList();

    list.append({ offsetBytes: 0, lengthBytes: 2 ** 53 - 1, zero: true, dirty: true });

    expect(list.endBytes).toBe(2 ** 53 - 1);
  });

  it.each([
    ['one that lies inside', 600, 700, [1]],
    ['those at the edges', 511, 1025, [0, 1, 2]],
    ['none that only touches', 512, 1024, [1]],
    ['the first', 0, 1, [0]],
    ['the last', 2000 * 512 - 1, 2000 * 512, [1999]],
    ['nothing behind the end', 2000 * 512, 2000 * 512 + 1, []],
  ])('finds %s', (_title, startBytes, endBytes, expected) => {
    const extents = manyExtents(2000);
    const list = new ExtentList();
    for (const extent of extents) list.append(extent);

    expect([...list.between(startBytes, endBytes)]).toEqual(expected.map((k) => extents[k]));
  });
});
