/** Rows 68 to 70 of the fault table: events between sessions that make the change map useless. */
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { messageCodes } from '../helpers/codes.ts';
import { expectFrozenView, makeScene } from '../helpers/faults/sessionFaults.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { type LabBench, useLab } from '../helpers/lab/useLab.ts';
import { noise } from '../helpers/bytes/random.ts';

/** A session without its base compares, stores little, and is the base of an incremental one. */
async function expectCompared(bench: LabBench, vm: LabVm, changedBytes: number): Promise<void> {
  const compared = await bench.backup(vm);
  expect(compared).toMatchObject({ pointType: 'increment', pointNumber: 2 });
  expect(compared.disks[0]).toMatchObject({ mode: 'compare', changedBytes });
  expect(compared.engine?.fromCheckpointId).toBe('');
  await expectFrozenView(bench, vm, compared);
}

async function expectIncremental(bench: LabBench, vm: LabVm): Promise<void> {
  vm.disk('sys').write(0, Buffer.from('later'));
  const next = await bench.backup(vm);
  expect(next.disks[0]).toMatchObject({ mode: 'incremental', changedBytes: BLOCK_BYTES });
  expect(vm.checkpointIds()).toEqual([next.engine?.toCheckpointId]);
  await expectFrozenView(bench, vm, next);
}

describe('row 68: a snapshot that is restored between sessions', () => {
  const bench = useLab();

  it('and has removed the checkpoints leads to a small increment', async () => {
    const { vm, changedBytes } = await makeScene(bench);
    vm.revertSnapshot('removed');

    await expectCompared(bench, vm, changedBytes);

    expect(messageCodes(bench)).toEqual(['CBT-103']);
    await expectIncremental(bench, vm);
  });

  it('and has made the checkpoints invalid leads to a small increment without them', async () => {
    const { vm, changedBytes } = await makeScene(bench);
    vm.revertSnapshot('invalid');

    await expectCompared(bench, vm, changedBytes);

    expect(messageCodes(bench)).toEqual(['CBT-104']);
    await expectIncremental(bench, vm);
  });
});

describe('row 69: a disk that is resized between sessions', () => {
  const bench = useLab();

  it.each([6 * MIB, 3 * MIB + 512])('to %i B is read whole and compared', async (sizeBytes) => {
    const { vm, disk, changedBytes } = await makeScene(bench);
    disk.resize(sizeBytes);

    await expectCompared(bench, vm, changedBytes);

    expect(messageCodes(bench)).toEqual(['DSK-110']);
    await expectIncremental(bench, vm);
  });

  it('beside one that was not leaves that one incremental', async () => {
    const { vm } = await makeScene(bench);
    vm.addDisk({ name: 'data', sizeBytes: MIB }).write(0, noise(4, MIB));
    await bench.backup(vm);
    vm.disk('sys').resize(5 * MIB);
    vm.disk('data').write(0, Buffer.from('new'));

    const report = await bench.backup(vm);

    const modes = report.disks.map(({ alias, mode }) => [alias, mode]);
    expect(modes).toEqual([
      ['sys', 'compare'],
      ['data', 'incremental'],
    ]);
    const id = report.engine?.backupId ?? '';
    const views = { sys: vm.frozenView(id, 'sys'), data: vm.frozenView(id, 'data') };
    await bench.expectRestored(vm, views);
  });
});

describe('row 70: a disk that has left its checkpoint', () => {
  const bench = useLab();

  it('by a detach and attach is compared', async () => {
    const { vm, disk, changedBytes } = await makeScene(bench);
    vm.detachDisk('sys');
    vm.attachDisk(disk.id);

    await expectCompared(bench, vm, changedBytes);

    // The engine deletes a checkpoint that holds no disk any more.
    expect(messageCodes(bench)).toEqual(['CBT-103']);
    await expectIncremental(bench, vm);
  });

  it('beside one that stays in it is compared, and the other one is incremental', async () => {
    const { vm, disk } = await makeScene(bench);
    vm.addDisk({ name: 'data', sizeBytes: MIB }).write(0, noise(4, MIB));
    await bench.backup(vm);
    vm.detachDisk('sys');
    vm.attachDisk(disk.id);

    const report = await bench.backup(vm);

    const modes = new Map(report.disks.map(({ alias, mode }) => [alias, mode]));
    expect([modes.get('sys'), modes.get('data')]).toEqual(['compare', 'incremental']);
    expect(messageCodes(bench)).toEqual(['CBT-106', 'CBT-109']);
  });

  it('by a conversion to RAW is compared from then on', async () => {
    const { vm, disk, changedBytes } = await makeScene(bench);
    await using client = await EngineClient.login(bench.lab);
    vm.status = 'down';
    await client.post(`/disks/${disk.id}/convert`, { disk: { format: 'raw' } });
    await client.waitFor(`/disks/${disk.id}`, 'format', 'raw');
    vm.status = 'up';

    await expectCompared(bench, vm, changedBytes);
    const next = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['CBT-101', 'CBT-101']);
    expect(next.disks[0]).toMatchObject({ mode: 'compare', changedBytes: 0 });
    await expectFrozenView(bench, vm, next);
  });
});
