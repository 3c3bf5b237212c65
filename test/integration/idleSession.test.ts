/**
 * What a VM session costs when nothing has changed. The calls stand here one by one, so that a
 * further call to the engine needs a change of this file and of docs/ovirt-flow.md.
 */
import { describe, expect, it } from 'vitest';
import type { LabRequest, LabVm } from '../../lab/src/index.ts';
import { backupVms } from '../../src/sessions/backup/backupVms.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();

function addVm(diskCount: number): LabVm {
  const names = Array.from({ length: diskCount }, (_, k) => `disk${k}`);
  const disks = names.map((name) => ({ name, sizeBytes: 4 * BLOCK_BYTES }));
  const vm = bench.lab.addVm({ name: 'web01', disks });
  for (const [k, disk] of vm.disks.entries()) disk.write(0, noise(k + 1, BLOCK_BYTES));
  return vm;
}

/** Method and path below the API, with `ID` for each id, so that all sessions give the same. */
function routeOf({ method, path }: LabRequest): string {
  const route = path
    .replace(/^\/ovirt-engine\/(?:api)?/, '')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')
    .replace(/search=[^&]*/, 'search')
    .replace(/^\/images\/ID/, 'images/TICKET');
  return `${method} ${route.replace(/^\//, '') || 'API'}`;
}

/** Routes of the second session of a VM, in order. Nothing has changed since the first one. */
async function idleRoutes(diskCount: number): Promise<string[]> {
  const vm = addVm(diskCount);
  await bench.backup(vm);
  const before = bench.lab.requests.length;
  const report = await bench.backup(vm);
  expect(report.disks.map(({ mode }) => mode)).toEqual(vm.disks.map(() => 'incremental'));
  expect(report.disks.map(({ readBytes }) => readBytes)).toEqual(vm.disks.map(() => 0));
  return bench.lab.requests.slice(before).map(routeOf);
}

/** A state that was asked for several times in a row counts once. */
function withoutRepeats(routes: readonly string[]): string[] {
  return routes.filter((route, k) => route !== routes[k - 1]);
}

function counted(routes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const route of routes) counts[route] = (counts[route] ?? 0) + 1;
  return counts;
}

describe('a session without changes', () => {
  it('makes these calls for one disk, and no other', async () => {
    expect(withoutRepeats(await idleRoutes(1))).toEqual([
      'POST sso/oauth/token',
      'GET API',
      'GET vms/ID',
      'GET vms/ID/backups',
      'GET vms/ID?all_content=true&follow=disk_attachments.disk',
      'GET disks/ID/disksnapshots',
      'GET vms/ID/checkpoints?follow=disks',
      'GET imagetransfers',
      'POST vms/ID/backups',
      'GET vms/ID/backups/ID',
      'GET vms/ID/backups/ID/disks',
      'GET events?search&max=50',
      'GET imagetransfers',
      'POST imagetransfers',
      'GET imagetransfers/ID',
      'OPTIONS images/TICKET',
      'GET images/TICKET/extents?context=dirty',
      'POST imagetransfers/ID/finalize',
      'GET imagetransfers/ID',
      'POST vms/ID/backups/ID/finalize',
      'GET vms/ID/backups/ID',
      'GET vms/ID/snapshots/ID',
      'GET vms/ID/checkpoints?follow=disks',
      'DELETE vms/ID/checkpoints/ID',
      'GET vms/ID/checkpoints',
      'POST events',
      'POST services/sso-logout',
    ]);
  });

  it('makes six more for each further disk, polls aside', async () => {
    const polls = /^GET (?:vms\/ID\/backups\/ID|imagetransfers\/ID|vms\/ID\/checkpoints)$/;
    const routes = (await idleRoutes(4)).filter((route) => !polls.test(route));

    expect(counted(routes)).toEqual({
      'POST sso/oauth/token': 1,
      'GET API': 1,
      'GET vms/ID': 1,
      'GET vms/ID/backups': 1,
      'GET vms/ID?all_content=true&follow=disk_attachments.disk': 1,
      'GET disks/ID/disksnapshots': 4,
      'GET vms/ID/checkpoints?follow=disks': 2,
      'GET imagetransfers': 1 + 4,
      'POST vms/ID/backups': 1,
      'GET vms/ID/backups/ID/disks': 1,
      'GET events?search&max=50': 1,
      'POST imagetransfers': 4,
      'OPTIONS images/TICKET': 4,
      'GET images/TICKET/extents?context=dirty': 4,
      'POST imagetransfers/ID/finalize': 4,
      'POST vms/ID/backups/ID/finalize': 1,
      'GET vms/ID/snapshots/ID': 1,
      'DELETE vms/ID/checkpoints/ID': 1,
      'POST events': 1,
      'POST services/sso-logout': 1,
    });
  });

  it('asks for the version once for each login, not for each VM', async () => {
    const { lab } = bench;
    for (const name of ['a', 'b', 'c']) lab.addVm({ name, disks: [] });
    const repository = bench.repository;
    const vms = ['a', 'b', 'c'];
    const engine = bench.settings();
    const job = await backupVms({ engine, repository, vms, parallelVms: 1 });

    expect(job.sessions).toHaveLength(3);
    expect(counted(lab.requests.map(routeOf))).toMatchObject({
      'POST sso/oauth/token': 1,
      'GET API': 1,
      'GET vms?search&max=100': 3,
    });
  });

  it('starts no thread', async () => {
    const vm = addVm(1);
    await bench.backup(vm);
    let threads = 0;
    const onWorker = (): void => {
      threads++;
    };
    process.on('worker', onWorker);
    try {
      await bench.backup(vm, { workers: 2 });
      expect(threads).toBe(0);

      vm.disk('disk0').write(0, noise(9, BLOCK_BYTES));
      await bench.backup(vm, { workers: 2 });
      expect(threads).toBe(2);
    } finally {
      process.off('worker', onWorker);
    }
  });
});
