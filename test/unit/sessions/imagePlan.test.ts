import { describe, expect, test } from 'vitest';
import {
  imageDiskId,
  nameImages,
  planFull,
  planIncrement,
} from '../../../src/sessions/backup/imagePlan.ts';
import { diskPoint, restorePoint } from '../../helpers/repository/madeUp.ts';

const disk = { diskId: 'd1', alias: 'a.raw', sizeBytes: 1000 };
const parent = restorePoint({ disks: [diskPoint(disk)] });

describe('the id of an image disk', () => {
  test('is a UUID of version 8 that depends on VM and file name alone', () => {
    const id = imageDiskId('vm-1', 'a.raw');

    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(imageDiskId('vm-1', 'a.raw')).toBe(id);
    expect(imageDiskId('vm-2', 'a.raw')).not.toBe(id);
    expect(imageDiskId('vm-1', 'b.raw')).not.toBe(id);
  });
});

describe('nameImages', () => {
  test('names disks after their files, wherever they lie', () => {
    const named = nameImages('vm', [{ path: '/x/a.raw', sizeBytes: 5 }]);
    const moved = nameImages('vm', [{ path: 'y/a.raw', sizeBytes: 5 }]);

    expect(named).toEqual([{ alias: 'a.raw', diskId: imageDiskId('vm', 'a.raw'), sizeBytes: 5 }]);
    expect(moved).toEqual(named);
  });

  test('names a disk as it is told, wherever its file lies', () => {
    const named = nameImages('vm', [{ name: 'a.raw', path: '/x/b-2026', sizeBytes: 5 }]);

    expect(named).toEqual([{ alias: 'a.raw', diskId: imageDiskId('vm', 'a.raw'), sizeBytes: 5 }]);
  });

  test('refuses more images than a restore point holds', () => {
    const images = Array.from({ length: 1001 }, (_, k) => ({ path: `/x/${k}`, sizeBytes: 5 }));

    expect(() => nameImages('vm', images)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID_OPTION' }),
    );
    expect(nameImages('vm', images.slice(1))).toHaveLength(1000);
  });

  test('refuses two images of one file name', () => {
    const images = ['/x/a', '/y/a'].map((path) => ({ path, sizeBytes: 5 }));

    expect(() => nameImages('vm', images)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID_OPTION' }),
    );
  });
});

describe('a plan', () => {
  test('for a full stores every image whole and says why', () => {
    expect(planFull([disk], 'why')).toEqual([
      { ...disk, mode: 'full', content: 'full', reason: 'why', parentDisk: undefined },
    ]);
  });

  test('for an increment compares a known disk and never calls it incremental', () => {
    const { planned, messages } = planIncrement([disk], parent);

    expect(planned).toMatchObject([
      { mode: 'compare', content: 'increment', parentDisk: parent.disks[0] },
    ]);
    expect(messages).toEqual([]);
  });

  test.each([
    ['a new disk', [disk, { ...disk, diskId: 'd2' }], 'CBT-106', 'info'],
    ['a grown disk', [{ ...disk, sizeBytes: 1001 }], 'DSK-110', 'info'],
    ['a shrunk disk', [{ ...disk, sizeBytes: 1 }], 'DSK-110', 'info'],
    ['a disk that is gone', [], 'DSK-111', 'warn'],
  ])('for an increment tells of %s', (_name, disks, code, level) => {
    const { messages } = planIncrement(disks, parent);

    expect(messages).toMatchObject([{ code, level }]);
    expect(messages[0]?.text).not.toContain('{');
  });

  test('for an increment stores a new disk whole', () => {
    const { planned } = planIncrement([{ ...disk, diskId: 'd2' }], parent);

    expect(planned).toMatchObject([{ mode: 'full', content: 'full', parentDisk: undefined }]);
  });
});
