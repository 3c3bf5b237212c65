/** Sessions with partial reads: only the dirty bytes of a block come from the engine. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { dataStartOf, PRODUCTION_SLOT_FORMAT } from '../../src/container/format/layout.ts';
import type { LabDisk, LabVm } from '../../lab/src/index.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { BLOCK_BYTES, flipBit, KIB } from '../helpers/images.ts';
import { useLab } from '../helpers/lab.ts';
import { noise } from '../helpers/random.ts';

const GRANULE_BYTES = 64 * KIB;
const TAIL_BYTES = 5 * 512;
const DISK_BYTES = 40 * BLOCK_BYTES + TAIL_BYTES;

describe('partial reads', () => {
  const bench = useLab();

  function addVm(): { readonly vm: LabVm; readonly disk: LabDisk } {
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: DISK_BYTES }] });
    const [disk] = vm.disks;
    if (!disk) throw new Error('the VM has no disk');
    disk.write(0, noise(1, 20 * BLOCK_BYTES));
    disk.write(DISK_BYTES - 700, noise(2, 700));
    return { vm, disk };
  }

  /** Bytes that the lab's imageio served since the last call. */
  function served(): number {
    const { traffic } = bench.lab;
    const bytes = [...traffic.readBytes.values()].reduce((sum, one) => sum + one, 0);
    traffic.reset();
    return bytes;
  }

  async function expectRestored(vm: LabVm, report: SessionReport): Promise<void> {
    const sys = vm.frozenView(report.engine?.backupId ?? '', 'sys');
    await bench.expectRestored(vm, { sys }, report.pointId);
  }

  it('ask for the dirty bytes and no more, and every point restores', async () => {
    const { vm, disk } = addVm();
    const full = await bench.backup(vm);
    // Granules all over the disk: in data, in holes, two in one block, and the short tail.
    const dirty = [0, 5, 6, 33, 50, 101, 120, 140];
    for (const granule of dirty) disk.write(granule * GRANULE_BYTES + 100, noise(granule, 5000));
    disk.write(DISK_BYTES - 100, noise(3, 100));
    served();

    const increment = await bench.backup(vm, { partialReads: true });

    const requestedBytes = dirty.length * GRANULE_BYTES + TAIL_BYTES;
    expect(served()).toBe(requestedBytes);
    expect(increment.disks[0]).toMatchObject({ mode: 'incremental', readBytes: requestedBytes });
    await expectRestored(vm, full);
    await expectRestored(vm, increment);
  });

  it('keep a dirty zero within a block, without reading it', async () => {
    const { vm, disk } = addVm();
    await bench.backup(vm);
    disk.zero(3 * BLOCK_BYTES + GRANULE_BYTES, GRANULE_BYTES);
    served();

    const increment = await bench.backup(vm, { partialReads: true });

    expect(served()).toBe(0);
    expect(increment.disks[0]?.changedBytes).toBe(BLOCK_BYTES);
    await expectRestored(vm, increment);
  });

  it('build on each other over several increments', async () => {
    const { vm, disk } = addVm();
    await bench.backup(vm);
    for (let round = 1; round <= 4; round++) {
      disk.write(round * GRANULE_BYTES + 7, noise(round, 100));
      await expectRestored(vm, await bench.backup(vm, { partialReads: true }));
    }
  });

  it('read a block whole when the parent point has it damaged', async () => {
    const { vm, disk } = addVm();
    const full = await bench.backup(vm);
    const [folder = ''] = readdirSync(bench.repository).filter((name) => name.startsWith('web01'));
    const file = path.join(bench.repository, folder, full.fileName);
    flipBit(file, dataStartOf(PRODUCTION_SLOT_FORMAT) + 1000);
    disk.write(100, noise(9, 100));
    served();

    const increment = await bench.backup(vm, { partialReads: true });

    expect(served()).toBe(BLOCK_BYTES);
    expect(increment.disks[0]?.changedBytes).toBe(BLOCK_BYTES);
    await expectRestored(vm, increment);
  });

  it('are not made where a disk is read whole', async () => {
    const { vm } = addVm();

    await bench.backup(vm, { partialReads: true });

    expect(served()).toBe(20 * BLOCK_BYTES + TAIL_BYTES);
  });
});
