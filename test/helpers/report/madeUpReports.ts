/** Made-up reports of sessions and runs, the same in each process. */
import { createHash } from 'node:crypto';
import { sessionMessage } from '../../../src/core/messages.ts';
import type { RunReport, VmResult } from '../../../src/jobs/runReport.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import type { DiskReport, SessionReport } from '../../../src/sessions/shared/report.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const CELLS = 240;

export function madeUpId(seed: string): string {
  const hex = createHash('md5').update(seed).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A map with a busy beginning, a burst in the middle, and a tail of zeros. */
function cellsOf(seed: number): string {
  return Array.from({ length: CELLS }, (_, index) => {
    const noise = Math.abs(Math.sin((index + 1) * (seed + 1) * 12.9898) * 43_758.5453) % 1;
    const burst = Math.exp(-(((index - 90 - seed * 7) / 14) ** 2));
    const share = burst * (0.5 + noise / 2) + (index < 20 ? 0.3 * noise : 0);
    if (index > 205) return '0';
    if (share > 0.08) return String(Math.min(9, Math.max(1, Math.ceil(share * 9))));
    return noise > 0.97 ? '1' : '.';
  }).join('');
}

export function madeUpDisk(index: number, changes: Partial<DiskReport> = {}): DiskReport {
  const sizeBytes = (index + 1) * 40 * GIB;
  const changedBytes = Math.round((index + 1) * 1.37 * GIB);
  const storedBytes = Math.round(changedBytes / 1.83);
  return {
    diskId: madeUpId(`disk ${index}`),
    alias: index === 0 ? 'web01_system' : `web01_data${index}`,
    mode: index === 1 ? 'compare' : 'incremental',
    reason:
      index === 1
        ? 'change tracking is switched off for this disk, so all of it is read and compared'
        : 'changed blocks since checkpoint of restore point 11',
    sizeBytes,
    allocatedBytes: Math.round(changedBytes * 1.2),
    readBytes: index === 1 ? sizeBytes * 0.6 : Math.round(changedBytes * 1.2),
    zeroBytes: 220 * MIB * (index + 1),
    unchangedBytes: index === 1 ? sizeBytes * 0.55 : 180 * MIB,
    changedBytes,
    duplicateBlocks: 12,
    storedBytes,
    reductionRatio: changedBytes / storedBytes,
    seconds: { extents: 0.4, read: 21.3, hash: 3.2, compress: 14.8, write: 6.1, wait: 2.6 },
    wallSeconds: 31.7,
    readBytesPerSecond: 87.3 * MIB,
    blockMap: { cellBytes: Math.ceil(sizeBytes / CELLS), cells: cellsOf(index) },
    ...changes,
  };
}

export function madeUpSession(changes: Partial<SessionReport> = {}): SessionReport {
  const vmName = changes.vmName ?? 'web01';
  const seed = `${vmName} ${changes.pointNumber ?? 12}`;
  return {
    type: 'backup',
    sessionId: madeUpId(`session ${seed}`),
    vmName,
    vmId: madeUpId(`vm ${vmName}`),
    repository: '/srv/backup/main',
    fileName: `${vmName}D2026-11-30T010203_4f2a.vib`,
    fileBytes: 4.51 * GIB,
    pointId: madeUpId(`point ${seed}`),
    pointType: 'increment',
    pointNumber: 12,
    parentPointId: madeUpId(`point ${vmName} 11`),
    startedAt: '2026-11-30T01:02:03.000Z',
    durationSeconds: 96.4,
    overheadSeconds: 22.9,
    commitSeconds: 1.3,
    bottleneck: { stage: 'source (extents, read)', busyRatio: 0.83 },
    disks: [madeUpDisk(0), madeUpDisk(1), madeUpDisk(2)],
    messages: [],
    engine: {
      backupId: madeUpId(`backup ${seed}`),
      fromCheckpointId: madeUpId('checkpoint 11'),
      toCheckpointId: madeUpId('checkpoint 12'),
      backupsStarted: 1,
      startSeconds: 11.8,
      finalizeSeconds: 6.2,
      leftOut: [{ diskId: madeUpId('cd'), alias: 'shared_quorum', cause: 'the disk is shareable' }],
    },
    ...changes,
  };
}

/** Points of a VM: a full at the beginning and another one later. The last is number 12. */
export function madeUpPoints(vmName = 'web01', count = 12): RestorePoint[] {
  return Array.from({ length: count }, (_, index): RestorePoint => {
    const number = 13 - count + index;
    const isFull = index === 0 || index === 7;
    return {
      pointId: madeUpId(`point ${vmName} ${number}`),
      number,
      type: isFull ? 'full' : 'increment',
      chainId: madeUpId(`chain ${vmName}`),
      parentPointId: isFull ? '' : madeUpId(`point ${vmName} ${number - 1}`),
      fileName: `${vmName}${number}.${isFull ? 'vbk' : 'vib'}`,
      createdAt: new Date(Date.UTC(2026, 10, 18 + index, 1, 2, 3)).toISOString(),
      checkpointId: '',
      blockSizeBytes: MIB,
      fileBytes: isFull ? 31 * GIB : (1 + ((index * 7) % 5)) * 0.7 * GIB,
      ...(index > 8 ? { lockedUntil: '2026-12-30T01:00:00.000Z' } : {}),
      disks: [],
    };
  });
}

export const WARNED_MESSAGES: SessionReport['messages'] = [
  sessionMessage('CBT-102', {
    alias: 'web01_data1',
    id: madeUpId('disk 1'),
    vm: 'web01',
    rp: '11',
    size: '80.0 GiB',
  }),
  sessionMessage('REPO-505', { file: 'web01D2026-11-29.vib.partial' }),
];

function resultOf(report: SessionReport, outcome: VmResult['outcome'] = 'success'): VmResult {
  return { vmName: report.vmName, vmId: report.vmId, outcome, attempts: 1, report };
}

const FAILED: VmResult = {
  vmName: 'db01',
  vmId: madeUpId('vm db01'),
  outcome: 'failure',
  attempts: 3,
  failure: {
    vmName: 'db01',
    code: 'ENGINE_VM_STATE',
    message: 'db01 is previewing a snapshot',
    hint: 'commit or undo the preview, then run the job again',
  },
};

const NOT_STARTED: VmResult = {
  vmName: 'archive07',
  vmId: madeUpId('vm archive07'),
  outcome: 'notStarted',
  attempts: 0,
};

/** A run in which all went well. */
export function madeUpRun(changes: Partial<RunReport> = {}): RunReport {
  const names = ['app01', 'app02', 'mail', 'proxy', 'web01', 'web02'];
  return {
    type: 'run',
    runId: madeUpId('run'),
    jobName: 'nightly',
    repository: 's3://backup-eu/ovirt/main',
    trigger: 'schedule',
    slot: '2026-11-30T01:00:00.000Z',
    startedAt: '2026-11-30T01:00:01.000Z',
    durationSeconds: 2530,
    outcome: 'success',
    vms: names.map((vmName, index) =>
      resultOf(madeUpSession({ vmName, disks: [madeUpDisk(index % 3), madeUpDisk(3)] })),
    ),
    vanishedVms: [],
    newVms: [],
    missedSlots: [],
    hooks: [],
    failedSteps: [],
    messages: [],
    ...changes,
  };
}

/** A run with everything that a page can tell. */
export function madeUpBadRun(): RunReport {
  const good = madeUpRun();
  const warned = madeUpSession({ vmName: 'web03', messages: WARNED_MESSAGES });
  return {
    ...good,
    outcome: 'failure',
    vms: [...good.vms, resultOf(warned, 'warning'), FAILED, NOT_STARTED],
    vanishedVms: ['old-crm'],
    newVms: ['web03'],
    missedSlots: ['2026-11-28T01:00:00.000Z', '2026-11-29T01:00:00.000Z'],
    hooks: [
      {
        when: 'before',
        program: '/usr/local/bin/freeze-app',
        exitCode: 0,
        durationSeconds: 1.2,
        timedOut: false,
      },
      {
        when: 'after',
        program: '/usr/local/bin/thaw-app',
        exitCode: undefined,
        durationSeconds: 60,
        timedOut: true,
      },
    ],
    failedSteps: [
      {
        step: 'verify',
        code: 'REPOSITORY_UNREACHABLE',
        message: 's3://backup-eu/ovirt/main does not answer',
        hint: 'check the network and the endpoint',
      },
    ],
    prune: {
      type: 'prune',
      repository: 's3://backup-eu/ovirt/main',
      dryRun: false,
      vms: [
        {
          vmName: 'web01',
          vmId: madeUpId('vm web01'),
          folder: 'web01',
          points: [],
          deletedBytes: 12 * GIB,
          writtenBytes: 3 * GIB,
          failure: undefined,
          messages: [],
        },
      ],
    },
    copy: {
      type: 'copy',
      from: 's3://backup-eu/ovirt/main',
      to: '/mnt/offsite',
      durationSeconds: 311,
      failures: [],
      vms: [
        {
          vmName: 'web01',
          vmId: madeUpId('vm web01'),
          folder: 'web01',
          presentCount: 11,
          failed: [],
          messages: [],
          copied: [
            {
              pointId: madeUpId('point web01 12'),
              number: 12,
              type: 'increment',
              fileName: 'web01.vib',
              fileBytes: 2.31 * GIB,
              isVerified: true,
            },
          ],
        },
      ],
    },
    messages: [sessionMessage('REPO-514', { n: 1, rp: madeUpId('x'), date: '2031-01-01' })],
  };
}

/** Last good points of the VMs of {@link madeUpBadRun} that failed. */
export const LAST_POINTS = [
  { vmName: 'db01', vmId: madeUpId('vm db01'), lastSuccessAt: '2026-11-27T01:12:00.000Z' },
];

export const MADE_AT: Date = new Date('2026-11-30T06:30:00.000Z');
