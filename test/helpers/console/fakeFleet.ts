/** VMs, jobs, chains and runs of a made-up installation, the same for the same time. */
import type {
  Chain,
  DiskMap,
  JobRow,
  PointRow,
  RepositoryRow,
  RunRow,
  VmHealth,
  VmRow,
  WorkerRow,
} from '../../../src/console/contract.ts';
import { madeUpId } from '../report/madeUpReports.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const CELLS = 240;
const POINTS = 30;

/** Names as guests and administrators choose them, with all that a page may get wrong. */
const HARD_NAMES: readonly string[] = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '"quotes" & \'more\' &amp; %41',
  'חלון-שרת-01',
  '\u202Egnp.exe',
  '日本語サーバー',
  '🐘 database 👩‍👩‍👧‍👦',
  'a/b c?d#e',
  'x'.repeat(255),
  'word '.repeat(50).trim(),
  '${7*7} {{7*7}}',
  'zero\u200Bwidth',
];

interface FakeJob {
  readonly name: string;
  readonly vmCount: number;
  readonly repositoryName: string;
  readonly schedule?: string;
}

/** @param vmCount - of all jobs together; at least 5. */
function jobsOf(vmCount: number): readonly FakeJob[] {
  const part = Math.floor(vmCount / 5);
  return [
    { name: 'nightly', vmCount: vmCount - 4 * part, repositoryName: 'main', schedule: '0 1 * * *' },
    { name: 'databases', vmCount: part, repositoryName: 'main', schedule: '0 */4 * * *' },
    { name: 'weekly.full', vmCount: part, repositoryName: 'archive', schedule: '0 3 * * sun' },
    { name: 'branch-office', vmCount: part, repositoryName: 'bucket', schedule: '30 22 * * *' },
    { name: 'by-hand', vmCount: part, repositoryName: 'archive' },
  ];
}

/** Most VMs are good, as in real life; each state is there. */
function healthOf(index: number): VmHealth {
  if (index % 97 === 13) return 'damaged';
  if (index % 41 === 7) return 'failed';
  if (index % 53 === 11) return 'late';
  if (index % 67 === 5) return 'never';
  return index % 17 === 3 ? 'warning' : 'good';
}

const OUTCOMES: Readonly<Record<VmHealth, VmRow['lastOutcome']>> = {
  good: 'success',
  warning: 'warning',
  late: 'notStarted',
  failed: 'failure',
  never: 'notStarted',
  damaged: 'success',
};

export interface FakeFleet {
  readonly vms: readonly VmRow[];
  readonly jobs: readonly JobRow[];
  readonly runs: readonly RunRow[];
  readonly repositories: readonly RepositoryRow[];
  readonly workers: readonly WorkerRow[];
  chainOf(vm: VmRow): Chain;
}

export function makeFleet(now: Date, vmCount: number): FakeFleet {
  const jobs = jobsOf(vmCount);
  const ago = (ms: number): string => new Date(now.getTime() - ms).toISOString();
  const vms: VmRow[] = [];
  for (const job of jobs) {
    for (let of = 0; of < job.vmCount; of++) vms.push(vmRow(job.name, vms.length, ago));
  }
  return {
    vms,
    jobs: jobs.map((job, index) => jobRow(job, index, now)),
    runs: jobs.flatMap((job, index) => runsOf(job, index, ago)).toSorted(newestFirst),
    repositories: repositoriesOf(jobs, ago),
    workers: workersOf(ago),
    chainOf: (vm) => chainOf(vm, ago),
  };
}

function vmRow(jobName: string, index: number, ago: (ms: number) => string): VmRow {
  const health = healthOf(index);
  const vmName = HARD_NAMES[index] ?? `${jobName}-${String(index).padStart(4, '0')}`;
  // A VM that no session has found yet is known by its name alone.
  const vmKey = health === 'never' ? vmName : madeUpId(`vm ${index}`);
  const base = { jobName, vmKey, vmName, health, lastOutcome: OUTCOMES[health] };
  if (health === 'never') return base;
  const ageMs = health === 'late' ? 3 * DAY_MS : (index % 23) * 0.9 * HOUR_MS;
  return {
    ...base,
    lastSuccessAt: ago(ageMs + (health === 'failed' ? DAY_MS : 0)),
    lastDurationSeconds: 20 + ((index * 37) % 900),
    lastReadBytes: ((index * 7919) % 4096) * MIB,
    lastStoredBytes: ((index * 7919) % 4096) * 0.5 * MIB,
    lastPointType: index % 29 === 0 ? 'full' : 'increment',
    ...(index % 31 === 2 ? { lockedUntil: ago(-7 * DAY_MS) } : {}),
  };
}

function jobRow(job: FakeJob, index: number, now: Date): JobRow {
  const at = (ms: number): string => new Date(now.getTime() + ms).toISOString();
  const base = {
    name: job.name,
    engineName: index === 3 ? 'branch' : 'main',
    repositoryName: job.repositoryName,
    vmCount: job.vmCount,
  };
  if (!job.schedule) return base;
  return {
    ...base,
    schedule: job.schedule,
    next: at((index + 2) * HOUR_MS),
    lastRun: {
      startedAt: at(-(index + 3) * HOUR_MS),
      endedAt: at(-(index + 2) * HOUR_MS),
      outcome: (['warning', 'success', 'success', 'failure'] as const)[index] ?? 'success',
    },
  };
}

function runsOf(job: FakeJob, jobIndex: number, ago: (ms: number) => string): RunRow[] {
  return Array.from({ length: 40 }, (_, index) => {
    const failedVmCount = index % 9 === 4 ? 1 + (index % 3) : 0;
    const outcome = failedVmCount > 0 ? 'failure' : index % 5 === 2 ? 'warning' : 'success';
    return {
      runId: madeUpId(`run ${job.name} ${index}`),
      jobName: job.name,
      startedAt: ago(index * DAY_MS + (jobIndex + 3) * HOUR_MS),
      durationSeconds: 600 + ((index * 131) % 2400),
      outcome,
      vmCount: job.vmCount,
      failedVmCount,
      readBytes: ((index * 53) % 400) * GIB,
      storedBytes: ((index * 53) % 400) * 0.4 * GIB,
    };
  });
}

function newestFirst(a: RunRow, b: RunRow): number {
  return b.startedAt.localeCompare(a.startedAt);
}

function repositoriesOf(
  jobs: readonly FakeJob[],
  ago: (ms: number) => string,
): readonly RepositoryRow[] {
  const countOf = (name: string): number =>
    jobs.filter((job) => job.repositoryName === name).reduce((sum, job) => sum + job.vmCount, 0);
  const growth = (startBytes: number, dayBytes: number): RepositoryRow['growth'] =>
    Array.from({ length: 60 }, (_, day) => ({
      day: ago((59 - day) * DAY_MS).slice(0, 10),
      storedBytes: Math.round(startBytes + day * dayBytes * (1 + Math.sin(day) / 5)),
    }));
  const row = (name: string, place: string, storedBytes: number): RepositoryRow => ({
    name,
    place,
    vmCount: countOf(name),
    pointCount: countOf(name) * POINTS,
    storedBytes,
    growth: growth(storedBytes * 0.7, (storedBytes * 0.3) / 60),
  });
  return [
    { ...row('main', '/srv/backup/main', 61_000 * GIB), freeBytes: 2_900 * GIB },
    { ...row('archive', '/srv/backup/archive', 18_000 * GIB), freeBytes: 41_000 * GIB },
    row('bucket', 's3://backups-branch/ovirt', 7_300 * GIB),
    {
      ...row('old', '/mnt/nfs/old', 0),
      growth: [],
      problem: 'the repository cannot be read: the network share does not answer',
    },
  ];
}

function workersOf(ago: (ms: number) => string): readonly WorkerRow[] {
  return Array.from({ length: 4 }, (_, index) => ({
    name: `worker-${index + 1}`,
    host: `backup${index + 1}.example`,
    pid: 4000 + index,
    productVersion: '0.1.0',
    labels: index === 3 ? ['site=branch'] : [],
    parallelVms: 4,
    runningVms: index === 0 ? [HARD_NAMES[0] ?? '', 'nightly-0014'] : [],
    startedAt: ago((index + 1) * DAY_MS),
    seenAt: ago(index * 1000),
  }));
}

function disksOf(vm: VmRow): PointRow['disks'] {
  return [
    { diskId: madeUpId(`${vm.vmKey} system`), alias: `${vm.vmName}_system`, sizeBytes: 40 * GIB },
    { diskId: madeUpId(`${vm.vmKey} data`), alias: `${vm.vmName}_data`, sizeBytes: 200 * GIB },
  ];
}

function chainOf(vm: VmRow, ago: (ms: number) => string): Chain {
  const { jobName, vmKey, vmName } = vm;
  if (vm.health === 'never') return { jobName, vmKey, vmName, points: [] };
  const disks = disksOf(vm);
  const idOf = (index: number): string => madeUpId(`${jobName} ${vmKey} point ${index}`);
  const points = Array.from({ length: POINTS }, (_, index): PointRow => {
    const isFull = index % 10 === 0;
    const createdAt = ago((POINTS - index) * DAY_MS);
    const fileBytes = isFull ? 31 * GIB + index * 200 * MIB : (50 + ((index * 977) % 2900)) * MIB;
    return {
      pointId: idOf(index),
      number: index + 1,
      type: isFull ? 'full' : 'increment',
      createdAt,
      fileName: `vm${createdAt.slice(0, 10)}.${isFull ? 'vbk' : 'vib'}`,
      fileBytes,
      parentPointId: isFull ? '' : idOf(index - 1),
      disks,
      hasMap: index >= 5,
      ...(vm.health === 'damaged' && index === 14 ? { isDamaged: true } : {}),
      ...(index > 26 ? { lockedUntil: ago(-(index - 20) * DAY_MS) } : {}),
    };
  });
  return { jobName, vmKey, vmName, points };
}

/** Maps of a point: a busy beginning, a burst that moves from point to point, a tail of zeros. */
export function mapsOf(point: PointRow): readonly DiskMap[] {
  return point.disks.map(({ diskId, alias, sizeBytes }, disk) => ({
    diskId,
    alias,
    sizeBytes,
    mode: point.type === 'full' ? 'full' : disk === 1 ? 'compare' : 'incremental',
    cellBytes: Math.ceil(sizeBytes / CELLS / MIB) * MIB,
    cells: Array.from({ length: CELLS }, (_, cell) => cellOf(cell, point.number + disk)).join(''),
  }));
}

function cellOf(cell: number, seed: number): string {
  const noise = Math.abs(Math.sin((cell + 1) * (seed + 1) * 12.9898) * 43_758.5453) % 1;
  const burst = Math.exp(-(((cell - ((seed * 17) % 200)) / 14) ** 2));
  const share = burst * (0.5 + noise / 2) + (cell < 20 ? 0.3 * noise : 0);
  if (cell > 225) return '0';
  if (share <= 0.08) return noise > 0.97 ? '1' : '.';
  return String(Math.min(9, Math.ceil(share * 9)));
}
