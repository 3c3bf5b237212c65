/** The audit finds what a change map misses before the increment relies on the map. */
import { describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { BackupVmsOptions } from '../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { jobOf, useCliLab } from '../helpers/cliLab.ts';
import { BLOCK_BYTES } from '../helpers/images.ts';
import { useLab } from '../helpers/lab.ts';
import { noise, prose } from '../helpers/random.ts';
import { codesOf } from '../helpers/vmScene.ts';

const BLOCKS = 40;
const DATA_BLOCKS = 20;
const MISSED = 7;
const bench = useLab();

/** A VM that has been backed up once. */
async function backedUp(): Promise<LabVm> {
  const vm = bench.lab.addVm({
    name: 'web01',
    disks: [{ name: 'disk', sizeBytes: BLOCKS * BLOCK_BYTES }],
  });
  vm.disk('disk').write(0, noise(1, DATA_BLOCKS * BLOCK_BYTES));
  await bench.backup(vm);
  return vm;
}

async function session(vm: LabVm, auditRatio?: number): Promise<SessionReport> {
  const options: Partial<BackupVmsOptions> = { auditRatio };
  return await bench.backup(vm, options);
}

describe('an audit', () => {
  test('finds a write that the change map misses, and has the disk compared', async () => {
    const vm = await backedUp();
    vm.disk('disk').writeUntracked(MISSED * BLOCK_BYTES + 99, Buffer.from('missed'));
    vm.disk('disk').write(0, Buffer.from('seen'));

    const report = await session(vm, 1);

    expect(codesOf(report)).toEqual(['CBT-108']);
    expect(report.disks).toMatchObject([
      {
        mode: 'compare',
        changedBytes: 2 * BLOCK_BYTES,
        audit: { auditedBlocks: DATA_BLOCKS - 1, mismatchedBlocks: 1 },
      },
    ]);
    await bench.expectRestored(vm, { disk: vm.disk('disk').snapshot() });
  });

  test('finds data where there was none, and zeros where there was data', async () => {
    const vm = await backedUp();
    vm.disk('disk').writeUntracked((BLOCKS - 1) * BLOCK_BYTES, prose(1, 512));
    vm.disk('disk').writeUntracked(MISSED * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES));

    const report = await session(vm, 1);

    expect(report.disks).toMatchObject([{ mode: 'compare', audit: { mismatchedBlocks: 2 } }]);
    await bench.expectRestored(vm, { disk: vm.disk('disk').snapshot() });
  });

  test('reads dirty blocks whole, also where partial reads were asked for', async () => {
    const vm = await backedUp();
    vm.disk('disk').write(0, Buffer.from('seen'));
    vm.disk('disk').writeUntracked(BLOCK_BYTES - 100, Buffer.from('missed'));

    const report = await bench.backup(vm, { auditRatio: 1, partialReads: true });

    expect(report.disks).toMatchObject([{ mode: 'incremental', readBytes: BLOCK_BYTES }]);
    await bench.expectRestored(vm, { disk: vm.disk('disk').snapshot() });
  });

  test('of a change map that is right costs the sample alone', async () => {
    const vm = await backedUp();
    vm.disk('disk').write(0, Buffer.from('seen'));
    bench.lab.traffic.reset();

    const report = await session(vm, 0.1);

    expect(codesOf(report)).toEqual([]);
    expect(report.disks).toMatchObject([
      {
        mode: 'incremental',
        readBytes: BLOCK_BYTES,
        audit: { auditedBlocks: 2, mismatchedBlocks: 0, readBytes: 2 * BLOCK_BYTES },
      },
    ]);
    expect([...bench.lab.traffic.readBytes.values()]).toEqual([3 * BLOCK_BYTES]);
    await bench.expectRestored(vm, { disk: vm.disk('disk').snapshot() });
  });

  test('is not made unless it is asked for, and the change stays missed', async () => {
    const vm = await backedUp();
    const before = vm.disk('disk').snapshot();
    vm.disk('disk').writeUntracked(MISSED * BLOCK_BYTES, Buffer.from('missed'));

    const report = await session(vm);

    expect(report.disks).toMatchObject([{ mode: 'incremental', changedBytes: 0 }]);
    expect(report.disks[0]).not.toHaveProperty('audit');
    await bench.expectRestored(vm, { disk: before });
  });

  test('that cannot read its sample fails the session as other reads do', async () => {
    const vm = await backedUp();
    vm.disk('disk').write(0, Buffer.from('seen'));
    const data = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ } as const;
    bench.lab.faults.add(data, { status: 500 });

    await expect(session(vm, 1)).rejects.toMatchObject({ code: 'TRANSFER_READ_FAILED' });
  });

  test.each([0, -0.1, 1.01, Number.NaN])('of a part of %d is refused', async (auditRatio) => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [] });

    await expect(session(vm, auditRatio)).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
  });
});

describe('backup --audit', () => {
  const cli = useCliLab();

  test('ends with 3 when a change map misses changes', async () => {
    const disks = [{ name: 'disk', sizeBytes: 8 * BLOCK_BYTES }];
    const vm = cli.lab.addVm({ name: 'web01', disks });
    vm.disk('disk').write(0, noise(1, 8 * BLOCK_BYTES));
    await cli.backup(vm);
    vm.disk('disk').writeUntracked(0, Buffer.from('missed'));

    const result = await cli.run(cli.backupArgs(['web01'], '--audit', '100%', '--json'));

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(jobOf(result).sessions).toMatchObject([
      { disks: [{ mode: 'compare', audit: { mismatchedBlocks: 1 } }] },
    ]);
  });
});
