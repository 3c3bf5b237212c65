/** Restore points made up for tests of code that only looks at their facts. */
import type { DiskPoint, RestorePoint } from '../../../src/repository/restorePoint.ts';

export function diskPoint(facts: Partial<DiskPoint> = {}): DiskPoint {
  return {
    diskId: 'd1',
    alias: 'a.raw',
    sizeBytes: 1000,
    content: 'full',
    mode: 'full',
    reason: 'first restore point',
    readBytes: 1000,
    changedBytes: 1000,
    storedBytes: 500,
    ...facts,
  };
}

export function restorePoint(facts: Partial<RestorePoint> = {}): RestorePoint {
  return {
    pointId: 'p1',
    number: 1,
    type: 'full',
    chainId: 'p1',
    parentPointId: '',
    fileName: 'vm.vbk',
    createdAt: '2026-11-22T17:00:00.000Z',
    checkpointId: '',
    blockSizeBytes: 1_048_576,
    fileBytes: 4096,
    disks: [diskPoint()],
    ...facts,
  };
}

/** An increment on `parentPointId`. */
export function increment(pointId: string, parentPointId: string): RestorePoint {
  return restorePoint({ pointId, parentPointId, type: 'increment', fileName: `${pointId}.vib` });
}
