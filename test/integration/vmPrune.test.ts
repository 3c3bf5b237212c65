/** Chains of a VM of an engine: after a merge the next session can still use change maps. */
import { expect, test } from 'vitest';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { synthesizeFull } from '../../src/sessions/retention/synthesizeFull.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { noise } from '../helpers/bytes/random.ts';

const bench = useLab();

test.each([
  [
    'a prune',
    async (repository: string) =>
      await pruneRepository({ repository, keep: { last: 1 }, workers: 0 }),
  ],
  [
    'a synthetic full',
    async (repository: string, vm: string) => await synthesizeFull({ repository, vm, workers: 0 }),
  ],
])('the session after %s reads only what changed since its checkpoint', async (_what, merge) => {
  const { lab, repository } = bench;
  const vm = lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 6 * BLOCK_BYTES }] });
  const disk = vm.disk('sys');
  const reports: SessionReport[] = [];
  for (const seed of [1, 2, 3]) {
    disk.write(seed * BLOCK_BYTES, noise(seed, BLOCK_BYTES));
    reports.push(await bench.backup(vm));
  }

  await merge(repository, vm.id);
  disk.write(0, noise(4, BLOCK_BYTES));
  reports.push(await bench.backup(vm));

  const [before, after] = [reports[2], reports[3]];
  expect(after).toMatchObject({ pointType: 'increment', parentPointId: before?.pointId });
  expect(after?.engine?.fromCheckpointId).toBe(before?.engine?.toCheckpointId);
  expect(after?.disks).toMatchObject([{ mode: 'incremental', readBytes: BLOCK_BYTES }]);
  const { vms } = await listRepository({ repository });
  for (const { pointId } of vms[0]?.points ?? []) {
    const report = reports.find((one) => one.pointId === pointId);
    await bench.expectRestored(
      vm,
      { sys: vm.frozenView(report?.engine?.backupId ?? '', 'sys') },
      pointId,
    );
  }
});

test('a merged point keeps the saved configuration of its VM', async () => {
  const { lab, repository } = bench;
  const vm = lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: BLOCK_BYTES }] });
  for (const seed of [1, 2]) {
    vm.disk('sys').write(0, noise(seed, BLOCK_BYTES));
    await bench.backup(vm);
  }

  await pruneRepository({ repository, keep: { last: 1 }, workers: 0 });

  expect((await bench.restore(vm)).hasConfiguration).toBe(true);
});
