/**
 * A night in which nearly everything is killed: workers, their processes, the planner, the server
 * of the queue. All VMs get a good point, and nothing is left.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { LabDiskSpec, LabVm, LabVmSpec } from '../../../lab/src/index.ts';
import { BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { createRandom, noise, prose } from '../../helpers/bytes/random.ts';
import { ChaosFleet, chaosSeed, keepOutput } from '../../helpers/fleet/chaos.ts';
import {
  changedTwiceAtOnce,
  expectEveryPoint,
  openKeys,
  refusedBackups,
} from '../../helpers/fleet/chaosChecks.ts';
import { useFleet } from '../../helpers/fleet/fleetBench.ts';
import { IS_LONG_FORM } from '../../helpers/longForm.ts';
import { strayFilesOf } from '../../helpers/repository/repositoryFiles.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';

const LIMIT_MS = 10 * 60_000;
const READ_MS = 150;
const DISK_BYTES = 3 * BLOCK_BYTES + 512;
/** Its sessions take seconds, because the lab's engine is slower than in other tests. */
const TIME_SCALE = 0.1;

const bench = useFleet({ timeScale: TIME_SCALE }, { config: ['appendonly yes'] });
let fleet: ChaosFleet | undefined;

afterEach(() => {
  if (fleet) keepOutput(fleet);
  fleet?.killAll();
});

type Kind = Pick<LabVmSpec, 'compatibility' | 'status'> & {
  readonly disks: readonly Partial<LabDiskSpec>[];
};

const PLAIN: Kind = { disks: [{}] };
const KINDS: readonly Kind[] = [
  PLAIN,
  { disks: [{ format: 'raw' }] },
  { disks: [{}, { format: 'raw' }] },
  { disks: [{}], compatibility: [4, 6] },
  { disks: [{}], compatibility: [4, 6], status: 'down' },
];

/** VMs of all kinds. Most guests write during their sessions. */
function addVms(count: number): LabVm[] {
  return Array.from({ length: count }, (_, k) => {
    const { disks, ...kind } = KINDS[k % KINDS.length] ?? PLAIN;
    const name = `vm${String(k).padStart(2, '0')}`;
    const named = disks.map((disk, n) => ({
      name: `${name}_${n}`,
      sizeBytes: DISK_BYTES,
      ...disk,
    }));
    // The point of a VM without one names no checkpoint, so its frozen view cannot be found.
    const isTracked = disks.some(({ format }) => format !== 'raw');
    const vm = bench.jobs.bench.lab.addVm({ name, disks: named, ...kind });
    for (const disk of vm.disks) {
      disk.write(0, noise(disk.name, BLOCK_BYTES));
      disk.write(2 * BLOCK_BYTES, prose(disk.name, BLOCK_BYTES));
      if (isTracked && kind.status !== 'down') writeDuringReads(vm, disk.id);
    }
    return vm;
  });
}

function writeDuringReads(vm: LabVm, diskId: string): void {
  let writes = 0;
  const run = (): void => {
    const text = Buffer.from(`write ${writes++} of the guest`);
    vm.disk(diskId).write(2 * BLOCK_BYTES + 700, text);
  };
  bench.jobs.bench.lab.faults.add({ server: 'imageio', method: 'GET', diskId }, { run });
}

function writeJobs(repository: object): void {
  const file = bench.writeJobs({
    schedule: '0 0 29 2 *',
    limits: { parallelVms: 8 },
    retry: { times: 3, delay: '1s' },
  });
  const content = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...content, repositories: { main: repository } }));
}

function startFleet(seed: number, night: Night): ChaosFleet {
  const { lab } = bench.jobs.bench;
  const read = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ } as const;
  lab.faults.add(read, { delayMs: READ_MS });
  const { server, file } = bench;
  fleet = new ChaosFleet(
    { lab, server, file, random: createRandom(seed) },
    {
      workers: 4,
      workerKills: night.workerKills,
      server: night.isFull ? ['restart', 'kill', 'wipe'] : ['kill'],
      mostPause: 80,
    },
  );
  return fleet;
}

/** The run has ended: every VM has points, each as it was frozen, and nothing is open. */
async function expectGood(own: ChaosFleet, repository: string, vms: readonly LabVm[]) {
  const { lab } = bench.jobs.bench;
  const log = own.log.join('; ');
  // The name of a check is the first word of a failure: the list of kills after it is long.
  expect(lab.leftovers(), `left on the engine; ${log}`).toEqual([]);
  expect(changedTwiceAtOnce(lab.requests, vms), `twice at once; ${log}`).toEqual([]);
  expect(refusedBackups(lab.requests), `refused backups; ${log}`).toEqual([]);
  const counts = await expectEveryPoint(repository, vms);
  const without = vms.filter((_, k) => counts[k] === 0).map(({ name }) => name);
  expect(without, `VMs without a point; ${log}`).toEqual([]);
  console.log(`points of each VM: ${counts.join(' ')}`);
}

interface Night {
  readonly vms: number;
  readonly workerKills: number;
  /** The server of the queue is killed, restarted and wiped. Otherwise it is killed once. */
  readonly isFull: boolean;
}

/** All of `night` happens during one run. Then the same job runs once more. */
async function survive(repository: string, location: object, night: Night): Promise<void> {
  const vms = addVms(night.vms);
  writeJobs(location);
  const own = startFleet(chaosSeed(), night);
  await own.start();
  await own.rage();

  expect(await own.ended(), own.log.join('; ')).not.toBe('failure');
  await expectGood(own, repository, vms);
  expect(await own.runAgain()).toBe(0);
  await expectGood(own, repository, vms);
  expect(await own.stopWorkers()).toEqual([0, 0, 0, 0]);
  expect(await openKeys(bench.server)).toEqual([]);
}

describe('a run in which nearly everything is killed', () => {
  it(
    'gives every VM a good point, and leaves nothing',
    async () => {
      const repository = bench.jobs.temp.path('main');
      await survive(repository, { path: 'main' }, { vms: 40, workerKills: 20, isFull: true });
      expect(strayFilesOf(repository)).toEqual([]);
    },
    LIMIT_MS,
  );
});

/** Locks of buckets are tried with pauses and kills in the suites of the store. */
if (IS_LONG_FORM) {
  describe('the same in a bucket', () => {
    const s3 = useS3();

    it(
      'gives every VM a good point, and leaves nothing',
      async () => {
        const location = { url: s3.repository };
        await survive(s3.repository, location, { vms: 10, workerKills: 6, isFull: false });
        await s3.expectNoStrays();
      },
      LIMIT_MS,
    );
  });
}
