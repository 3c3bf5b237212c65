import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { MIB, TIB } from '../../../src/core/units.ts';
import { downloadTarget } from '../../../lab/src/disks/frozenView.ts';
import { filled, G, granulesWith, labDisk } from '../../helpers/lab/labDisks.ts';

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('bytes', () => {
  test('are zero until written, at any alignment', () => {
    const target = labDisk();
    target.write(G - 3, filled(G + 5, 7));

    expect(target.read(0, G - 3)).toEqual(Buffer.alloc(G - 3));
    expect(target.read(G - 3, G + 5)).toEqual(filled(G + 5, 7));
    expect(target.read(2 * G + 2, G)).toEqual(Buffer.alloc(G));
  });

  test('do not change with the buffer they were written from, nor with one that was read', () => {
    const target = labDisk();
    const source = filled(G, 1);
    target.write(0, source);
    source.fill(2);
    target.read(0, G).fill(3);

    expect(target.read(0, G)).toEqual(filled(G, 1));
  });

  test('outside the disk are refused', () => {
    const target = labDisk({ sizeBytes: 100 });

    expect(() => target.write(99, filled(2, 1))).toThrow(/beyond the end/);
    expect(() => target.zero(0, 101)).toThrow(/beyond the end/);
    expect(() => target.read(100, 1)).toThrow(/beyond the end/);
    expect(() => target.snapshot().read(100, 1)).toThrow(/beyond the end/);
  });

  test('have the digest of the plain content, with holes and a short end', () => {
    const target = labDisk({ sizeBytes: 40 * G + 10 });
    target.write(3 * G, filled(5, 1));
    target.write(40 * G, filled(10, 2));
    const plain = Buffer.alloc(40 * G + 10);
    plain.fill(1, 3 * G, 3 * G + 5).fill(2, 40 * G);

    expect(target.digest()).toBe(sha256(plain));
    expect(target.snapshot().digest()).toBe(sha256(plain));
    expect(target.allocatedBytes()).toBe(G + 10);
    expect(target.snapshot().allocatedBytes()).toBe(G + 10);
  });

  test('of zero are not stored', () => {
    const target = labDisk();
    target.write(0, filled(3 * G, 1));
    target.write(G, Buffer.alloc(G));
    target.zero(2 * G, G);

    expect(target.allocatedBytes()).toBe(G);
  });
});

describe('zeroing', () => {
  test('keeps what lies around it in the same granules', () => {
    const target = labDisk();
    target.write(0, filled(4 * G, 1));
    target.zero(G + 10, 2 * G);
    const expected = filled(4 * G, 1).fill(0, G + 10, 3 * G + 10);

    expect(target.read(0, 4 * G)).toEqual(expected);
  });

  test('within one granule keeps its ends', () => {
    const target = labDisk();
    target.write(0, filled(G, 1));
    target.zero(10, 20);

    expect(target.read(0, G)).toEqual(filled(G, 1).fill(0, 10, 30));
  });

  test('takes the short granule at the end of the disk', () => {
    const target = labDisk({ sizeBytes: G + 100 });
    target.write(0, filled(G + 100, 1));
    target.addBitmap('a');
    target.zero(G, 100);

    expect(target.allocatedBytes()).toBe(G);
    expect(granulesWith(target.freeze().extents(['a']), 'dirty')).toEqual([1]);
  });
});

describe('extents', () => {
  test('tell data, holes, and zeros that somebody wrote', () => {
    const target = labDisk();
    target.write(G, filled(3 * G, 1));
    target.zero(2 * G, G);

    expect(target.freeze().extents(undefined)).toEqual([
      { offsetBytes: 0, lengthBytes: G, zero: true, hole: true },
      { offsetBytes: G, lengthBytes: G, zero: false, hole: false },
      { offsetBytes: 2 * G, lengthBytes: G, zero: true, hole: false },
      { offsetBytes: 3 * G, lengthBytes: G, zero: false, hole: false },
      { offsetBytes: 4 * G, lengthBytes: 4 * G, zero: true, hole: true },
    ]);
  });

  test('end at the end of a disk whose last granule is short', () => {
    const target = labDisk({ sizeBytes: G + 100 });
    target.addBitmap('a');
    target.write(G, filled(100, 1));

    expect(target.freeze().extents(['a'])).toEqual([
      { offsetBytes: 0, lengthBytes: G, zero: true, hole: false, dirty: false },
      { offsetBytes: G, lengthBytes: 100, zero: false, hole: false, dirty: true },
    ]);
  });

  test('of a disk that cannot tell holes are one', () => {
    const target = labDisk({ format: 'raw', hidesHoles: true });
    target.write(G, filled(G, 1));
    target.zero(3 * G, G);

    expect(target.freeze().extents(undefined)).toEqual([
      { offsetBytes: 0, lengthBytes: 8 * G, zero: false, hole: false },
    ]);
  });

  test('mark a granule that was written and discarded as dirty and zero', () => {
    const target = labDisk();
    target.addBitmap('a');
    target.write(2 * G, filled(2 * G, 1));
    target.zero(2 * G, G);
    const extents = target.freeze().extents(['a']);

    expect(granulesWith(extents, 'dirty')).toEqual([2, 3]);
    expect(granulesWith(extents, 'zero')).toEqual([0, 1, 2, 4, 5, 6, 7]);
  });

  test('do not split dirty zeros by how they became zero', () => {
    const target = labDisk();
    target.addBitmap('a');
    target.zero(G, G);

    expect(target.freeze().extents([])).toEqual([
      { offsetBytes: 0, lengthBytes: 8 * G, zero: true, hole: false, dirty: false },
    ]);
  });
});

describe('a frozen view', () => {
  test('does not see what the guest does later', () => {
    const target = labDisk();
    target.write(0, filled(2 * G, 1));
    const view = target.freeze();
    const before = view.extents(undefined);
    target.write(10, filled(G, 2));
    target.zero(G, G);
    target.write(5 * G, filled(G, 3));
    target.zero(6 * G, G);
    expect(view.extents(undefined)).toEqual(before);
    target.resize(2 * G);

    expect(view.sizeBytes).toBe(8 * G);
    expect(view.read(0, 3 * G)).toEqual(Buffer.concat([filled(2 * G, 1), Buffer.alloc(G)]));
    expect(view.extents(undefined)).toEqual(before);
  });

  test('is not changed by a second freeze in between', () => {
    const target = labDisk();
    target.write(0, filled(G, 1));
    const first = target.freeze();
    const second = target.freeze();
    target.write(0, filled(G, 2));
    const third = target.freeze();
    target.write(0, filled(G, 3));

    expect([first, second, third].map((view) => view.read(0, 1)[0])).toEqual([1, 1, 2]);
  });

  test('keeps its bitmaps when they go on recording, are merged or dropped', () => {
    const target = labDisk();
    target.addBitmap('a');
    target.write(0, filled(G, 1));
    target.addBitmap('b');
    target.write(G, filled(G, 1));
    const view = target.freeze();
    target.write(2 * G, filled(G, 1));
    target.removeBitmap('b');
    target.write(3 * G, filled(G, 1));
    target.dropBitmaps();

    expect(granulesWith(view.extents(['a']), 'dirty')).toEqual([0]);
    expect(granulesWith(view.extents(['a', 'b']), 'dirty')).toEqual([0, 1]);
  });

  test('refuses a bitmap that it never had', () => {
    expect(() => labDisk().freeze().extents(['a'])).toThrow(/no bitmap a/);
  });

  test('is what a download shows', () => {
    const target = labDisk();
    target.addBitmap('a');
    target.write(G, filled(G, 1));
    const download = downloadTarget('d1', target.freeze(), ['a']);

    expect(download).toMatchObject({ diskId: 'd1', sizeBytes: 8 * G });
    expect(download.read(G, 2)).toEqual(filled(2, 1));
    expect(granulesWith(download.extents('dirty'), 'dirty')).toEqual([1]);
    expect(download.extents('zero')[0]).not.toHaveProperty('dirty');
    expect(download).not.toHaveProperty('write');
  });
});

describe('a resize', () => {
  test('drops what lies behind the cut, and what grows again is zero', () => {
    const target = labDisk();
    target.write(0, filled(8 * G, 1));
    target.resize(G + 100);
    target.resize(4 * G);

    expect(target.read(0, 4 * G)).toEqual(Buffer.alloc(4 * G).fill(1, 0, G + 100));
    expect(target.allocatedBytes()).toBe(2 * G);
  });

  test('cuts bitmaps, and what grows again is clean and a hole', () => {
    const target = labDisk();
    target.addBitmap('a');
    target.zero(0, 8 * G);
    target.resize(2 * G);
    target.resize(4 * G);
    const view = target.freeze();

    expect(granulesWith(view.extents(['a']), 'dirty')).toEqual([0, 1]);
    expect(granulesWith(view.extents(undefined), 'hole')).toEqual([2, 3]);
  });

  test('lets bitmaps record in the grown part', () => {
    const target = labDisk();
    target.addBitmap('a');
    target.resize(16 * G);
    target.write(15 * G, filled(1, 1));

    expect(granulesWith(target.freeze().extents(['a']), 'dirty')).toEqual([15]);
  });
});

describe('a disk of 64 TiB', () => {
  test('costs what was written to it', () => {
    const target = labDisk({ sizeBytes: 64 * TIB });
    target.addBitmap('a');
    target.zero(0, 64 * TIB);
    target.write(63 * TIB, filled(MIB, 1));
    target.zero(10, 60 * TIB);
    target.resize(65 * TIB);
    const view = target.freeze();

    expect(view.allocatedBytes()).toBe(MIB);
    expect(view.extents(['a'])).toEqual([
      { offsetBytes: 0, lengthBytes: 63 * TIB, zero: true, hole: false, dirty: true },
      { offsetBytes: 63 * TIB, lengthBytes: MIB, zero: false, hole: false, dirty: true },
      { offsetBytes: 63 * TIB + MIB, lengthBytes: TIB - MIB, zero: true, hole: false, dirty: true },
      { offsetBytes: 64 * TIB, lengthBytes: TIB, zero: true, hole: false, dirty: false },
    ]);
  });
});
