import { describe, expect, test } from 'vitest';
import { LabStorage, type LabDiskState } from '../../../lab/src/disks/labDisk.ts';
import { filled, G, granulesWith, labDisk } from '../../helpers/lab/labDisks.ts';

/** Granule 0 dirty in a, 1 in b, 2 in c. */
function chain(): LabDiskState {
  const target = labDisk();
  for (const [granule, name] of ['a', 'b', 'c'].entries()) {
    target.addBitmap(name);
    target.write(granule * G, filled(1, 1));
  }
  return target;
}

describe('bitmaps', () => {
  test('record writes that meanwhile come in the newest one only', () => {
    const target = chain();
    const view = target.freeze();
    target.addBitmap('d');
    target.write(5 * G, filled(1, 1));
    const later = target.freeze();

    expect(granulesWith(view.extents(['b', 'c']), 'dirty')).toEqual([1, 2]);
    expect(granulesWith(later.extents(['d']), 'dirty')).toEqual([5]);
    expect(granulesWith(later.extents(['a', 'b', 'c']), 'dirty')).toEqual([0, 1, 2]);
  });

  test('hand what they recorded to the next older one when they are removed', () => {
    const target = chain();
    target.removeBitmap('b');
    const view = target.freeze();

    expect(target.canServe(['b'])).toBe(false);
    expect(granulesWith(view.extents(['a', 'c']), 'dirty')).toEqual([0, 1, 2]);
    expect(granulesWith(view.extents(['c']), 'dirty')).toEqual([2]);
  });

  test('record in the one before when the newest is removed', () => {
    const target = chain();
    target.removeBitmap('c');
    target.write(6 * G, filled(1, 1));

    expect(granulesWith(target.freeze().extents(['b']), 'dirty')).toEqual([1, 2, 6]);
  });

  test('forget what the root recorded', () => {
    const target = chain();
    target.removeBitmap('a');
    target.removeBitmap('unknown');

    expect(granulesWith(target.freeze().extents(['b', 'c']), 'dirty')).toEqual([1, 2]);
  });

  test('break with a host, but not those that begin later', () => {
    const target = chain();
    expect(target.canServe(['a', 'b', 'c'])).toBe(true);
    target.breakBitmaps();
    target.addBitmap('d');

    expect(target.canServe(['d'])).toBe(true);
    expect(target.canServe(['c', 'd'])).toBe(false);
    expect(target.canServe(['unknown'])).toBe(false);
  });

  test('do not exist on raw disks', () => {
    expect(() => labDisk({ format: 'raw' }).addBitmap('a')).toThrow(/raw/);
  });
});

describe('an upload', () => {
  test('writes, zeros and reads the disk itself', () => {
    const target = labDisk();
    const upload = target.uploadTarget();
    upload.write?.(G, filled(2 * G, 1));
    upload.zero?.(2 * G, G);

    expect(upload.read(G, 2 * G)).toEqual(target.read(G, 2 * G));
    expect(target.read(G, 2 * G)).toEqual(Buffer.alloc(2 * G).fill(1, 0, G));
    expect(granulesWith(upload.extents('zero'), 'zero')).toEqual([0, 2, 3, 4, 5, 6, 7]);
  });

  test('fails with ENOSPC where the storage ends, and has not written then', () => {
    const storage = new LabStorage(2 * G);
    const upload = labDisk({ storage }).uploadTarget();
    upload.write?.(0, filled(2 * G, 1));
    upload.write?.(100, filled(10, 2));
    upload.write?.(5 * G, Buffer.alloc(G));

    expect(() => upload.write?.(2 * G, filled(1, 1))).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    );
    expect(upload.read(2 * G, 1)).toEqual(Buffer.alloc(1));
    upload.zero?.(0, G);
    upload.write?.(2 * G, filled(1, 1));
    expect(storage.availableBytes).toBe(0);
  });

  test('gives its space back when the disk goes, and none that a guest took', () => {
    const storage = new LabStorage(4 * G);
    const target = labDisk({ storage });
    target.write(0, filled(2 * G, 1));
    target.uploadTarget().write?.(4 * G, filled(G, 1));
    target.uploadTarget().zero?.(0, 2 * G);
    target.uploadTarget().write?.(6 * G, filled(2 * G, 1));
    expect(storage.availableBytes).toBe(2 * G);
    target.releaseStorage();
    target.releaseStorage();

    expect(storage.availableBytes).toBe(4 * G);
  });

  test('is no limit for guests', () => {
    const target = labDisk({ storage: new LabStorage(0) });
    target.write(0, filled(8 * G, 1));

    expect(target.allocatedBytes()).toBe(8 * G);
  });
});
