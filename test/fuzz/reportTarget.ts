/** Fuzz target that reads reports of sessions and runs, and prints what it could read. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { formatRuns, formatSessionHistory } from '../../src/cli/output/jobs/historyOutput.ts';
import { listRunReports } from '../../src/jobs/runReports.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { VmFolder } from '../../src/repository/vmFolder.ts';
import { listSessionReports } from '../../src/sessions/history/listReports.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { MemoryStore } from '../helpers/repository/memoryStore.ts';
import { mutateJson } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

const ID = '01234567-0000-4000-8000-00000000000a';
const STARTED = '2026-11-30T01:50:00.000Z';
const TERMINAL = { columns: 80, isColoured: true };
const MESSAGE = { code: 'JOB-606', level: 'warn', text: 'text', resolution: 'None.' } as const;

const BACKUP: SessionReport = {
  type: 'backup',
  sessionId: ID,
  vmName: 'web01',
  vmId: ID,
  repository: '/backup',
  fileName: 'web01.D2026-11-30T015000_0000.vbk',
  fileBytes: 1_000_000,
  pointId: ID,
  pointType: 'full',
  pointNumber: 1,
  parentPointId: '',
  startedAt: STARTED,
  durationSeconds: 12.5,
  overheadSeconds: 1,
  commitSeconds: 0.5,
  bottleneck: { stage: 'cpu (hash, compress)', busyRatio: 0.9 },
  disks: [
    {
      diskId: ID,
      alias: 'system',
      mode: 'full',
      reason: 'first restore point',
      sizeBytes: 10_485_760,
      allocatedBytes: 1_048_576,
      readBytes: 1_048_576,
      zeroBytes: 9_437_184,
      unchangedBytes: 0,
      changedBytes: 1_048_576,
      duplicateBlocks: 0,
      storedBytes: 500_000,
      reductionRatio: 2.1,
      seconds: { extents: 0, read: 1, hash: 1, compress: 2, write: 1, wait: 0 },
      wallSeconds: 3,
      readBytesPerSecond: 350_000,
      blockMap: { cellBytes: 1_048_576, cells: '9000000000' },
    },
  ],
  messages: [MESSAGE],
  healing: { blockCount: 1, damagedPointIds: [ID] },
  lockedUntil: '2026-12-30T01:50:00.000Z',
};
const HEADER = {
  sessionId: ID,
  vmName: 'web01',
  vmId: ID,
  startedAt: STARTED,
  durationSeconds: 12.5,
};
const FAILURE = { code: 'ENGINE_BUSY', message: 'busy', hint: 'wait' };
const SEEDS = [
  { ...HEADER, type: 'backup', outcome: 'ok', report: BACKUP },
  { ...HEADER, type: 'verify', outcome: 'ok', report: { vmName: 'web01', messages: [MESSAGE] } },
  { ...HEADER, type: 'restore', outcome: 'failed', ...FAILURE, messages: [MESSAGE] },
  {
    type: 'run',
    runId: ID,
    jobName: 'nightly',
    repository: '/backup',
    trigger: 'schedule',
    slot: STARTED,
    startedAt: STARTED,
    durationSeconds: 60,
    outcome: 'failure',
    vms: [
      { vmName: 'web01', vmId: ID, outcome: 'success', attempts: 1, report: BACKUP },
      {
        vmName: 'db01',
        vmId: '',
        outcome: 'failure',
        attempts: 2,
        failure: { vmName: 'db01', ...FAILURE },
      },
    ],
    vanishedVms: ['old'],
    newVms: [],
    missedSlots: [STARTED],
    hooks: [{ when: 'before', program: 'sync', exitCode: 0, durationSeconds: 1, timedOut: false }],
    failedSteps: [{ step: 'prune', ...FAILURE }],
    messages: [MESSAGE],
  },
];

/** One file is read as the report of a session, and as that of a run. */
async function takeReport(input: Buffer): Promise<void> {
  // Without a turn the messages to the process that watches would never leave.
  await nextTurn();
  const store = new MemoryStore();
  const place = store.folder(`web01.${ID}`);
  place.put('session-20261130T015000000Z-backup-01234567.json', input);
  store.folder('runs').put('nightly-20261130T015000000Z-01234567.json', input);
  const folder = new VmFolder(place, 'web01', ID);
  const repository = { store, vmFolders: async () => [folder] } as unknown as Repository;
  const sessions = await listSessionReports(repository);
  const runs = await listRunReports(repository);
  for (const form of [undefined, TERMINAL]) {
    formatSessionHistory(sessions, form);
    formatRuns(runs, form);
  }
}

export function reportTarget(): FuzzTarget {
  const seeds = SEEDS.map((seed) => Buffer.from(JSON.stringify(seed)));
  return { name: 'report', seeds, mutate: mutateJson, take: takeReport };
}
