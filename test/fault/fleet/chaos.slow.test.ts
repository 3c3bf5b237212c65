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
import { strayFilesOf } from '../../helpers/repository/repositoryFiles.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';

const LIMIT_MS = 10 * 60_000;
const READ_MS = 150;
const DISK_BYTES = 3 * BLOCK_BYTES + 512;
/** Its sessions take seconds, because the lab's engine is slower than in other tests. */
const TIME_SCALE = 0.1;

const bench = useFleet({ timeScale: TIME_SCALE }, { config: ['appendonly yes'] });
const s3 = useS3();
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

function startFleet(seed: number, counts: { workerKills: number; isFull: boolean }): ChaosFleet {
  const { lab } = bench.jobs.bench;
  const read = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ } as const;
  lab.faults.add(read, { delayMs: READ_MS });
  const { server, file } = bench;
  fleet = new ChaosFleet(
    { lab, server, file, random: createRandom(seed) },
    {
      workers: 4,
      workerKills: counts.workerKills,
      server: counts.isFull ? ['restart', 'kill', 'wipe'] : ['kill'],
      mostPause: 80,
    },
  );
  return fleet;
}

/** The run has ended: every VM has points, each as it was frozen, and nothing is open. */
async function expectGood(own: ChaosFleet, repository: string, vms: readonly LabVm[]) {
  const { lab } = bench.jobs.bench;
  const log = own.log.join('; ');
  expect(lab.leftovers(), log).toEqual([]);
  expect(changedTwiceAtOnce(lab.requests, vms), log).toEqual([]);
  expect(refusedBackups(lab.requests), log).toEqual([]);
  const counts = await expectEveryPoint(repository, vms);
  expect(
    counts.filter((count) => count === 0),
    log,
  ).toEqual([]);
  console.log(`points of each VM: ${counts.join(' ')}`);
}

describe('a run in which nearly everything is killed', () => {
  it(
    'gives every VM a good point, and leaves nothing',
    async () => {
      const repository = bench.jobs.temp.path('main');
      const vms = addVms(40);
      writeJobs({ path: 'main' });
      const own = startFleet(chaosSeed(), { workerKills: 20, isFull: true });
      await own.start();
      await own.rage();

      expect(await own.ended(), own.log.join('; ')).not.toBe('failure');
      await expectGood(own, repository, vms);
      expect(await own.runAgain()).toBe(0);
      await expectGood(own, repository, vms);
      expect(strayFilesOf(repository)).toEqual([]);
      expect(await own.stopWorkers()).toEqual([0, 0, 0, 0]);
      expect(await openKeys(bench.server)).toEqual([]);
    },
    LIMIT_MS,
  );

  it(
    'does so in a bucket, too',
    async () => {
      const vms = addVms(10);
      writeJobs({ url: s3.repository });
      const own = startFleet(chaosSeed(), { workerKills: 6, isFull: false });
      await own.start();
      await own.rage();

      expect(await own.ended(), own.log.join('; ')).not.toBe('failure');
      await expectGood(own, s3.repository, vms);
      expect(await own.runAgain()).toBe(0);
      await expectGood(own, s3.repository, vms);
      await s3.expectNoStrays();
      expect(await own.stopWorkers()).toEqual([0, 0, 0, 0]);
      expect(await openKeys(bench.server)).toEqual([]);
    },
    LIMIT_MS,
  );
});
