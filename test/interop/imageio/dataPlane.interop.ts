/** Sessions over real disks with QEMU's bitmaps, served by the real ovirt-imageio over TLS. */
import { describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../../src/core/units.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { useInterop } from '../bench.ts';

describe.each([
  ['hybrid', [4, 7]],
  ['legacy', [4, 6]],
] as const)('a qcow2 disk with %s backups', (kind, compatibility) => {
  const bench = useInterop();

  it('is stored as it was when its view was frozen, and the next increment has what was written meanwhile', async () => {
    const sizeBytes = 64 * MIB + 12 * KIB;
    const vm = bench.addVm('web01', [{ name: 'sys', sizeBytes }], { compatibility });
    const disk = bench.image(vm, 'sys');
    disk.write(MIB, noise(1, 24 * MIB));
    disk.write(sizeBytes - 5000, noise(2, 5000));
    bench.imageio.front.afterBytes(4 * MIB, () => disk.write(MIB + 100, noise(3, 300 * KIB)));

    const full = await bench.backup(vm);
    const [fullTicket] = bench.served(`${kind} full`);
    const increment = await bench.backup(vm);
    const [dirtyTicket] = bench.served(`${kind} increment`);

    await bench.expectRestored(vm, full);
    await bench.expectRestored(vm, increment);
    const [first, second] = [full, increment].map((report) => bench.frozen(vm, report, 'sys'));
    expect(first?.read(MIB, 400 * KIB)).toEqual(noise(1, 24 * MIB).subarray(0, 400 * KIB));
    expect(second?.read(MIB + 100, 300 * KIB)).toEqual(noise(3, 300 * KIB));
    expect(increment.disks[0]).toMatchObject({ mode: 'incremental', changedBytes: 2 * 256 * KIB });
    expect(fullTicket).toMatchObject({ context: 'zero' });
    expect(dirtyTicket).toMatchObject({ context: 'dirty', dirtyBytes: 320 * KIB });
  });
});
