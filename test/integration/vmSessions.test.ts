/** Sessions over VMs of an engine: each mode, with guest writes while it runs. */
import { describe, expect, it } from 'vitest';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const MIB = 1024 * 1024;

describe.each([
  ['hybrid', [4, 7]],
  ['legacy', [4, 6]],
] as const)('a VM with %s backups', (_kind, compatibility) => {
  const bench = useLab();

  it('is stored as it was when its view was frozen, and the next increment has what was written meanwhile', async () => {
    const { lab } = bench;
    const disks = [{ name: 'sys', sizeBytes: 8 * MIB + 4096, bootable: true }];
    const vm = lab.addVm({ name: 'web01', compatibility, disks });
    const disk = vm.disk('sys');
    disk.write(MIB, noise(1, 2 * MIB));
    const path = /\/images\/[^/]+$/;
    lab.faults.add(
      { server: 'imageio', method: 'GET', path, nth: 1 },
      { run: () => disk.write(MIB, Buffer.from('while it is read')) },
    );

    const full = await bench.backup(vm);
    const increment = await bench.backup(vm);

    const [first, second] = [full, increment].map((report) => report.engine?.toCheckpointId ?? '');
    await bench.expectRestored(vm, { sys: vm.frozenView(first ?? '', 'sys') }, full.pointId);
    await bench.expectRestored(vm, { sys: vm.frozenView(second ?? '', 'sys') });
    expect(increment.disks[0]).toMatchObject({ mode: 'incremental', changedBytes: BLOCK_BYTES });
    expect(disk.read(MIB, 5).toString()).toBe('while');
  });
});
