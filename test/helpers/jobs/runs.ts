/** Jobs, runs and states that were never real, for tests of what is told about them. */
import type { SessionMessage } from '../../../src/core/messages.ts';
import type { JobConfig, MailConfig, NotifyConfig } from '../../../src/jobs/jobFile.ts';
import type { JobState, VmState } from '../../../src/jobs/jobState.ts';
import type {
  RunOutcome,
  RunReport,
  VerifySummary,
  VmResult,
} from '../../../src/jobs/runReport.ts';
import type { PruneReport } from '../../../src/sessions/retention/pruneReport.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { limitsOf } from './stops.ts';

export const STARTED_AT = '2026-03-02T01:00:00.000Z';
export const ENDED_AT: Date = new Date('2026-03-02T01:10:00.000Z');

function sessionOf(vmName: string, vmId: string): SessionReport {
  return {
    type: 'backup',
    sessionId: `session-${vmId}`,
    vmName,
    vmId,
    repository: '/backup',
    fileName: `${vmName}.vib`,
    fileBytes: 4096,
    pointId: `point-${vmId}`,
    pointType: 'increment',
    pointNumber: 2,
    parentPointId: 'point-before',
    startedAt: STARTED_AT,
    durationSeconds: 61,
    overheadSeconds: 1,
    commitSeconds: 0.5,
    bottleneck: { stage: 'source (extents, read)', busyRatio: 0.9 },
    disks: [
      {
        diskId: `disk-${vmId}`,
        alias: `${vmName}_disk1`,
        mode: 'incremental',
        reason: 'checkpoint',
        sizeBytes: 1 << 30,
        allocatedBytes: 1 << 20,
        readBytes: 1 << 20,
        zeroBytes: 0,
        unchangedBytes: 0,
        changedBytes: 1 << 20,
        duplicateBlocks: 0,
        storedBytes: 1 << 19,
        reductionRatio: 2,
        seconds: { extents: 0, read: 1, hash: 1, compress: 1, write: 1, wait: 0 },
        wallSeconds: 2,
        readBytesPerSecond: 1 << 19,
      },
    ],
    messages: [],
  };
}

export function goodVm(vmName: string, vmId = `id-of-${vmName}`): VmResult {
  const report = sessionOf(vmName, vmId);
  return { vmName, vmId, outcome: 'success', attempts: 1, report };
}

export function failedVm(vmName: string): VmResult {
  const failure = {
    vmName,
    code: 'ENGINE_BUSY',
    message: `${vmName} is locked`,
    hint: 'try again later',
  } as const;
  return { vmName, vmId: `id-of-${vmName}`, outcome: 'failure', attempts: 2, failure };
}

export function runOf(outcome: RunOutcome, more: Partial<RunReport> = {}): RunReport {
  const vms = outcome === 'failure' ? [failedVm('db01'), goodVm('web01')] : [goodVm('web01')];
  return {
    type: 'run',
    runId: '6d0cf5a1-4a3b-4a3e-9d0c-111111111111',
    jobName: 'nightly',
    repository: '/backup',
    trigger: 'schedule',
    slot: STARTED_AT,
    startedAt: STARTED_AT,
    durationSeconds: 600,
    outcome,
    vms,
    vanishedVms: [],
    newVms: [],
    missedSlots: [],
    hooks: [],
    failedSteps: [],
    messages: [],
    ...more,
  };
}

/** A prune of one VM that deleted nothing. */
export function pruneOf(...messages: readonly SessionMessage[]): PruneReport {
  const points = { points: [], deletedBytes: 0, writtenBytes: 0, failure: undefined };
  const vm = { vmName: 'web01', vmId: 'id-of-web01', folder: 'web01', ...points, messages };
  return { type: 'prune', repository: '/backup', dryRun: false, vms: [vm] };
}

/** A verify that found nothing. */
export function verifyOf(more: Partial<VerifySummary> = {}): VerifySummary {
  const work = { damageCount: 0, damagedVms: [], readBytes: 1 << 20, durationSeconds: 1 };
  return { outcome: 'ok', ...work, failures: [], messages: [], ...more };
}

export function stateAfter(outcome: RunOutcome, more: Partial<JobState> = {}): JobState {
  return {
    format: 'ovirt-cbt-state/1',
    jobName: 'nightly',
    lastRun: {
      runId: '6d0cf5a1-4a3b-4a3e-9d0c-000000000000',
      startedAt: '2026-03-01T01:00:00.000Z',
      endedAt: '2026-03-01T01:20:00.000Z',
      outcome,
    },
    missedSlots: 0,
    failedNotifications: 0,
    vms: [],
    ...more,
  };
}

export function receiverOf(more: Partial<NotifyConfig>): NotifyConfig {
  return {
    name: 'ops',
    on: ['failure', 'warning', 'success', 'recovered', 'missed'],
    mail: undefined,
    webhook: undefined,
    command: undefined,
    ...more,
  };
}

/** Mail to a server on this machine, without TLS and login. */
export function mailTo(
  { port }: { readonly port: number },
  more: Partial<MailConfig> = {},
): MailConfig {
  return {
    host: '127.0.0.1',
    port,
    security: 'none',
    username: undefined,
    password: undefined,
    caFile: undefined,
    from: 'Backup <backup@example.com>',
    to: ['ops@example.com'],
    ...more,
  };
}

export function jobWith(...notify: readonly NotifyConfig[]): JobConfig {
  return {
    name: 'nightly',
    engine: {
      name: 'prod',
      url: 'https://engine.example/ovirt-engine',
      username: 'admin@internal',
      password: { path: '/nowhere/password', credential: 'engine-prod-password' },
      caFile: undefined,
      parallelVms: undefined,
    },
    repository: {
      name: 'main',
      place: '/backup',
      key: undefined,
      cache: undefined,
      immutable: undefined,
      noLock: false,
    },
    vms: {},
    excludeDisks: [],
    schedule: '0 1 * * *',
    timezone: 'UTC',
    windowUntil: undefined,
    backup: {
      mode: 'auto',
      compression: 'default',
      blockSizeBytes: undefined,
      connections: undefined,
      workers: undefined,
      requireConsistency: false,
      partialReads: false,
      auditRatio: undefined,
      waitMs: undefined,
    },
    limits: limitsOf(2),
    priority: 5,
    workerLabel: undefined,
    retry: { times: 1, delayMs: 0 },
    keep: undefined,
    verifySampleRatio: undefined,
    copyTo: undefined,
    hooks: { before: [], after: [] },
    notify,
    accept: [],
    strict: false,
  };
}

export const VM_STATE: VmState = {
  vmName: 'web01',
  vmId: 'id-1',
  lastOutcome: 'success',
  lastSuccessAt: '2026-03-01T01:20:00.000Z',
  lastDurationSeconds: 61.5,
  lastReadBytes: 1 << 30,
  lastStoredBytes: 1 << 29,
  lastPointType: 'increment',
  lockedUntil: '2026-03-31T01:20:00.000Z',
  isDamaged: false,
};

/** Has a value in each field, and a VM that was never backed up. */
export const FULL_STATE: JobState = stateAfter('warning', {
  vms: [VM_STATE, { vmName: 'new', vmId: '', lastOutcome: 'notStarted' }],
  lastSuccessAt: '2026-03-01T01:20:00.000Z',
  openRun: { runId: 'open', startedAt: '2026-03-02T01:00:00.000Z', doneVms: [] },
  missedSlots: 3,
  failedNotifications: 2,
});
