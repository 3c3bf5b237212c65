/**
 * Rows 45 to 47, 53 and 54 of the fault table: reads that fail, are cut or hang, and reads at the
 * end of the disk.
 */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import {
  addVm,
  expectFrozenView,
  expectUncommitted,
  makeScene,
  READS,
} from '../helpers/faults/sessionFaults.ts';
import { messageCodes } from '../helpers/codes.ts';
import { BLOCK_BYTES, KIB, MIB } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { noise } from '../helpers/bytes/random.ts';

/** Blocks that a session asks for. A request has one block, or several blocks that had to wait. */
const CHANGED_BLOCKS = 3;

const SERVER_FAILED = {
  status: 500,
  body: 'Server failed to perform the request, check logs for more info.',
};

describe('row 45: an I/O error of the storage', () => {
  const bench = useLab();

  it('that passes costs some tries', async () => {
    const { vm, changedBytes } = await makeScene(bench);
    bench.lab.faults.add({ ...READS, nth: 2, times: 3 }, SERVER_FAILED);

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual([]);
    expect(report.disks[0]).toMatchObject({ mode: 'incremental', changedBytes });
    await expectFrozenView(bench, vm, report);
  });

  it('that stays ends the session after a few tries, and the old base stays', async () => {
    const scene = await makeScene(bench);
    const engine = bench.settings({ blockRetryMs: 1 });
    const fault = bench.lab.faults.add(READS, SERVER_FAILED);

    const error = await expectUncommitted(bench, scene, 'TRANSFER_READ_FAILED', {
      engine,
      connections: 1,
    });

    expect(exitCodeOf(error)).toBe(1);
    expect(error.details).toMatchObject({ diskId: scene.disk.id, httpStatus: 500 });
    expect(bench.lab.faults.fired(fault)).toBeGreaterThan(1);
    expect(bench.lab.faults.fired(fault)).toBeLessThanOrEqual(6 * CHANGED_BLOCKS);
  });

  it('ends the other disks of the session too', async () => {
    const vm = addVm(bench.lab);
    vm.addDisk({ name: 'data', sizeBytes: MIB }).write(0, noise(3, MIB));
    const diskId = vm.disk('data').id;
    const full = await bench.backup(vm);
    vm.disk('sys').write(0, Buffer.from('sys'));
    vm.disk('data').write(0, Buffer.from('data'));
    const engine = bench.settings({ blockRetryMs: 1 });
    bench.lab.faults.add({ ...READS, diskId }, SERVER_FAILED);
    await expect(bench.backup(vm, { engine })).rejects.toMatchObject({ details: { diskId } });
    bench.lab.faults.clear();

    const next = await bench.backup(vm);

    expect(next.engine?.fromCheckpointId).toBe(full.engine?.toCheckpointId);
    const id = next.engine?.backupId ?? '';
    const views = { sys: vm.frozenView(id, 'sys'), data: vm.frozenView(id, 'data') };
    await bench.expectRestored(vm, views);
  });
});

describe('row 46: a body that is cut in the middle', () => {
  const bench = useLab();

  it.each([0, 1, 100 * KIB])('after %i B is read again', async (cutAfterBytes) => {
    const vm = addVm(bench.lab);
    bench.lab.faults.add({ ...READS, nth: 3, times: 2 }, { cutAfterBytes });

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual([]);
    expect(bench.lab.traffic.readBytes.get(vm.disk('sys').id)).toBe(3 * MIB);
    await expectFrozenView(bench, vm, report);
  });

  it('in a list of extents is asked for again', async () => {
    const { vm } = await makeScene(bench);
    bench.lab.faults.add({ server: 'imageio', path: /\/extents/, nth: 1 }, { cutAfterBytes: 40 });

    const report = await bench.backup(vm);

    expect(report.disks[0]).toMatchObject({ mode: 'incremental' });
    await expectFrozenView(bench, vm, report);
  });

  it('of every try ends the session, and the old base stays', async () => {
    const scene = await makeScene(bench);
    const engine = bench.settings({ blockRetryMs: 1 });
    bench.lab.faults.add(READS, { cutAfterBytes: KIB });

    await expectUncommitted(bench, scene, 'TRANSFER_READ_FAILED', { engine });
  });
});

describe('row 47: a read that is never answered', () => {
  const bench = useLab();

  it('is given up and sent again', async () => {
    const vm = addVm(bench.lab);
    const hang = bench.lab.faults.add({ ...READS, nth: 2 }, { hang: true });

    const report = await bench.backup(vm, { engine: bench.settings({ imageioReadMs: 100 }) });

    expect(bench.lab.faults.fired(hang)).toBe(1);
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 53: a disk whose size is no multiple of anything', () => {
  const bench = useLab();

  it.each([
    ['a block and one sector', BLOCK_BYTES + 512],
    ['less than a granule', 4 * KIB],
    ['three blocks but for one sector', 3 * BLOCK_BYTES - 512],
  ])('of %s is stored and restored to the last byte', async (_title, sizeBytes) => {
    const vm = bench.lab.addVm({ name: 'odd', disks: [{ name: 'sys', sizeBytes }] });
    vm.disk('sys').write(sizeBytes - 600, noise(5, 600));
    const full = await bench.backup(vm);
    vm.disk('sys').write(sizeBytes - 1, Buffer.from('!'));

    const increment = await bench.backup(vm);
    const restored = await bench.restore(vm);

    expect(increment.disks[0]?.mode).toBe('incremental');
    await expectFrozenView(bench, vm, full);
    await expectFrozenView(bench, vm, increment);
    const copy = bench.lab.disk(restored.disks[0]?.newDiskId ?? '');
    expect(copy.sizeBytes).toBe(sizeBytes);
    expect(copy.digest()).toBe(vm.disk('sys').digest());
  });
});

describe('row 54: a range beyond the end of the image', () => {
  const bench = useLab();

  it('is not asked for again, and the old base stays', async () => {
    const scene = await makeScene(bench);
    const fault = bench.lab.faults.add(READS, {
      status: 416,
      body: 'Requested range out of allowed range',
      headers: { 'content-range': 'bytes */1048576' },
    });

    const error = await expectUncommitted(bench, scene, 'TRANSFER_READ_FAILED', {
      connections: 1,
    });

    expect(error.retryable).toBe(false);
    expect(bench.lab.faults.fired(fault)).toBeLessThanOrEqual(CHANGED_BLOCKS);
  });

  it.each([8 * MIB, 2 * MIB])(
    'cannot come of a disk that is resized to %i B right before it is frozen',
    async (sizeBytes) => {
      const scene = await makeScene(bench);
      const { disk } = scene;
      const before = disk.sizeBytes;
      bench.lab.faults.add(
        { server: 'engine', method: 'POST', path: /\/backups$/, nth: 1 },
        { run: () => disk.resize(sizeBytes) },
      );
      await expect(bench.backup(scene.vm)).rejects.toMatchObject({ code: 'TRANSFER_BAD_EXTENTS' });

      const next = await bench.backup(scene.vm);

      expect(disk.sizeBytes).not.toBe(before);
      expect(next.disks[0]).toMatchObject({ mode: 'compare', sizeBytes });
      await expectFrozenView(bench, scene.vm, next);
    },
  );
});
