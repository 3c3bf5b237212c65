/** Reports made up for tests of code that only looks at their figures. */
import type {
  DiskReport,
  SessionReport,
  StageSeconds,
} from '../../../src/sessions/shared/report.ts';

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
