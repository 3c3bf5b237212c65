/** Restore points and reports made up for tests of code that only reads their facts and figures. */
import type { DiskPoint, RestorePoint } from '../../../src/repository/restorePoint.ts';
import type {
  DiskReport,
  SessionReport,
  StageSeconds,
} from '../../../src/sessions/shared/report.ts';

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

export function diskReport(seconds: Partial<StageSeconds> = {}): DiskReport {
  return {
    diskId: 'd1',
    alias: 'a.raw',
    mode: 'compare',
    reason: 'raw image without a change map',
    sizeBytes: 4096,
    allocatedBytes: 4096,
    readBytes: 4096,
    zeroBytes: 1024,
    unchangedBytes: 1024,
    changedBytes: 2048,
    duplicateBlocks: 0,
    storedBytes: 1024,
    reductionRatio: 2,
    seconds: { extents: 0, read: 0, hash: 0, compress: 0, write: 0, wait: 0, ...seconds },
    wallSeconds: 1,
    readBytesPerSecond: 4096,
  };
}

export function sessionReport(facts: Partial<SessionReport> = {}): SessionReport {
  return {
    type: 'backup',
    sessionId: 's1',
    vmName: 'vm',
    vmId: 'i1',
    repository: 'repo',
    fileName: 'vm.vib',
    fileBytes: 8192,
    pointId: 'p2',
    pointType: 'increment',
    pointNumber: 2,
    parentPointId: 'p1',
    startedAt: '2026-11-22T17:00:00.000Z',
    durationSeconds: 2,
    overheadSeconds: 1,
    commitSeconds: 0.5,
    bottleneck: { stage: 'repository (write)', busyRatio: 0.5 },
    disks: [diskReport()],
    messages: [],
    ...facts,
  };
}
