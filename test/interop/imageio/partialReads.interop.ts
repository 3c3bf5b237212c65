/** Partial reads of blocks: bytes that the real daemon serves, against QEMU's dirty bytes. */
import { describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../../src/core/units.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { useInterop } from '../bench.ts';

const SIZE_BYTES = 64 * MIB;
const WRITE_BYTES = 64 * KIB;

describe('partial reads of a qcow2 disk', () => {
  const bench = useInterop();

  it('ask the daemon for little more than the dirty bytes of random writes of 64 KiB', async () => {
    const vm = bench.addVm('parts', [{ name: 'sys', sizeBytes: SIZE_BYTES }]);
    const disk = bench.image(vm, 'sys');
    disk.write(0, noise(1, 32 * MIB));
    const full = await bench.backup(vm, { blockSizeBytes: MIB });
    bench.served('partial reads, full before');

    // Scattered writes over data and holes, aligned to their size.
    for (let k = 0; k < 24; k++) {
      const place = (k * 397) % (SIZE_BYTES / WRITE_BYTES);
      disk.write(place * WRITE_BYTES, noise(k + 2, WRITE_BYTES));
    }
    const increment = await bench.backup(vm, { partialReads: true });
    const [ticket] = bench.served('partial reads, random 64 KiB');

    await bench.expectRestored(vm, full);
    await bench.expectRestored(vm, increment);
    expect(increment.disks[0]?.mode).toBe('incremental');
    expect(ticket?.dirtyBytes).toBe(24 * WRITE_BYTES);
    expect(ticket?.transferredBytes).toBeLessThanOrEqual(1.1 * 24 * WRITE_BYTES);
  });
});
