/** Kinds of images, such as backing chains, compressed clusters, preallocated raw, 2 TiB. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { GIB, KIB, MIB } from '../../../src/core/units.ts';
import { noise, prose } from '../../helpers/bytes/random.ts';
import { BLOCK_BYTES, expectIdentical, useInterop } from '../bench.ts';
import { mapOf, qemuImg, qemuIo } from './qemu.ts';

describe('a qcow2 disk over a chain of backing files', () => {
  const bench = useInterop();

  it('is read through all its layers, and its increment has only what changed', async () => {
    const vm = bench.addVm('chain', [{ name: 'sys', sizeBytes: 32 * MIB }]);
    const layers = ['base', 'middle', 'top'].map((name) => path.join(bench.folder, name));
    const [base = '', middle = '', top = ''] = layers;
    qemuImg('create', '-q', '-f', 'qcow2', base, String(32 * MIB));
    qemuIo({ path: base, format: 'qcow2' }, 'write -q -P 1 0 4M', 'write -q -P 2 8M 4M');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', middle);
    qemuIo({ path: middle, format: 'qcow2' }, 'write -q -P 3 2M 1M', 'write -q -z 9M 1M');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top);
    const disk = bench.image(vm, 'sys');
    disk.adopt({ path: top, format: 'qcow2' });
    disk.write(20 * MIB, noise(1, MIB));

    const full = await bench.backup(vm);
    const [fullTicket] = bench.served('backing chain full');
    disk.write(3 * MIB + 1, noise(2, 70 * KIB));
    disk.zero(8 * MIB, 64 * KIB);
    const increment = await bench.backup(vm);
    const [dirtyTicket] = bench.served('backing chain increment');

    await bench.expectRestored(vm, full);
    await bench.expectRestored(vm, increment);
    expect(bench.frozen(vm, full, 'sys').read(2 * MIB, 2)).toEqual(Buffer.from([3, 3]));
    expect(fullTicket).toMatchObject({ dataBytes: 8 * MIB, transferredBytes: 8 * MIB });
    expect(dirtyTicket).toMatchObject({ dirtyBytes: 192 * KIB, dirtyDataBytes: 128 * KIB });
    expect(increment.disks[0]).toMatchObject({
      mode: 'incremental',
      changedBytes: 2 * BLOCK_BYTES,
    });
  });
});

describe('a qcow2 disk with compressed clusters', () => {
  const bench = useInterop();

  it('is stored with the bytes that the guest sees', async () => {
    const sizeBytes = 16 * MIB;
    const vm = bench.addVm('packed', [{ name: 'sys', sizeBytes }]);
    const raw = path.join(bench.folder, 'plain.raw');
    const packed = path.join(bench.folder, 'packed.qcow2');
    writeFileSync(raw, Buffer.concat([prose(1, 12 * MIB), Buffer.alloc(4 * MIB)]));
    qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, packed);
    const disk = bench.image(vm, 'sys');
    disk.adopt({ path: packed, format: 'qcow2' });

    const full = await bench.backup(vm);
    const [fullTicket] = bench.served('compressed clusters full');
    disk.write(5 * MIB, noise(3, 10));
    const increment = await bench.backup(vm);
    const [dirtyTicket] = bench.served('compressed clusters increment');

    await bench.expectRestored(vm, full);
    await bench.expectRestored(vm, increment);
    expect(bench.frozen(vm, full, 'sys').read(0, 100)).toEqual(prose(1, 100));
    expect(fullTicket?.transferredBytes).toBe(12 * MIB);
    expect(dirtyTicket).toMatchObject({ dirtyBytes: 64 * KIB, transferredBytes: BLOCK_BYTES });
  });
});

describe('discards of a guest', () => {
  const bench = useInterop();

  it.each([
    ['TRIM', 'discard'],
    ['written zeros', 'zero'],
  ] as const)('%s are dirty zeros: stored, and not read', async (name, method) => {
    const vm = bench.addVm('trim', [{ name: 'sys', sizeBytes: 16 * MIB + 512 }]);
    const disk = bench.image(vm, 'sys');
    disk.write(0, noise(4, 8 * MIB));
    const full = await bench.backup(vm);
    bench.served(`${name} full`);

    disk[method](2 * MIB, 4 * MIB);
    const increment = await bench.backup(vm);
    const [dirtyTicket] = bench.served(`${name} increment`);

    await bench.expectRestored(vm, full);
    await bench.expectRestored(vm, increment);
    expect(bench.frozen(vm, increment, 'sys').read(3 * MIB, 2)).toEqual(Buffer.alloc(2));
    expect(dirtyTicket).toMatchObject({
      dirtyBytes: 4 * MIB,
      dirtyDataBytes: 0,
      transferredBytes: 0,
    });
    expect(increment.disks[0]).toMatchObject({ mode: 'incremental', zeroBytes: 4 * MIB });
  });
});

describe('preallocated raw disks', () => {
  const bench = useInterop();

  it('are compared: all their data is read, what changed is stored', async () => {
    const sizeBytes = 24 * MIB + 4096;
    const raw = { format: 'raw', sparse: false, sizeBytes } as const;
    const vm = bench.addVm('raw', [
      { name: 'falloc', ...raw },
      { name: 'full', ...raw },
    ]);
    const written = path.join(bench.folder, 'written.raw');
    qemuImg('create', '-q', '-f', 'raw', '-o', 'preallocation=full', written, String(sizeBytes));
    bench.image(vm, 'full').adopt({ path: written, format: 'raw' });
    for (const name of ['falloc', 'full']) bench.image(vm, name).write(MIB, noise(5, 3 * MIB));

    const full = await bench.backup(vm);
    const fullTickets = bench.served('preallocated raw full');
    for (const name of ['falloc', 'full']) bench.image(vm, name).write(2 * MIB, noise(6, 10));
    const increment = await bench.backup(vm);
    const tickets = bench.served('preallocated raw compare');

    await bench.expectRestored(vm, full);
    await bench.expectRestored(vm, increment);
    for (const { diskId, transferredBytes } of [...fullTickets, ...tickets]) {
      // File systems turn a little more of a preallocated file into data than was written.
      const isFull = diskId === bench.image(vm, 'full').id;
      expect(transferredBytes).toBeGreaterThanOrEqual(isFull ? sizeBytes : 3 * MIB);
      expect(transferredBytes).toBeLessThanOrEqual(isFull ? sizeBytes : 3 * MIB + 2 * BLOCK_BYTES);
    }
    for (const disk of increment.disks) {
      expect(disk).toMatchObject({ mode: 'compare', changedBytes: BLOCK_BYTES });
    }
  });
});

describe('a sparse disk of 2 TiB', () => {
  const bench = useInterop();

  it('costs what its data costs', async () => {
    const sizeBytes = 2048 * GIB;
    const vm = bench.addVm('huge', [{ name: 'data', sizeBytes }]);
    const disk = bench.image(vm, 'data');
    for (const at of [0, 700 * GIB + 4096, sizeBytes - MIB]) disk.write(at, noise(7, MIB));

    const full = await bench.backup(vm, { blockSizeBytes: MIB });
    const [fullTicket] = bench.served('2 TiB sparse full');
    disk.write(1500 * GIB, noise(8, 5000));
    disk.discard(700 * GIB, 2 * MIB);
    const increment = await bench.backup(vm);
    const [dirtyTicket] = bench.served('2 TiB sparse increment');

    await bench.expectRestored(vm, full);
    await bench.expectRestored(vm, increment);
    expect(bench.frozen(vm, full, 'data').read(700 * GIB + 4096, 9)).toEqual(
      noise(7, MIB).subarray(0, 9),
    );
    // One of the three ranges touches two blocks.
    expect(fullTicket).toMatchObject({ transferredBytes: 4 * MIB });
    expect(dirtyTicket).toMatchObject({ dirtyDataBytes: 64 * KIB, transferredBytes: MIB });
  });
});

describe('bitmaps that a crash has left in use', () => {
  const bench = useInterop();

  it('cost one full backup, and the increment after it is small again', async () => {
    const vm = bench.addVm('crashed', [{ name: 'sys', sizeBytes: 16 * MIB }]);
    const disk = bench.image(vm, 'sys');
    disk.write(0, noise(9, 4 * MIB));
    await bench.backup(vm);
    disk.write(MIB, noise(10, 10));
    disk.breakBitmaps();
    bench.served('broken bitmap, before');

    const repaired = await bench.backup(vm);
    bench.served('broken bitmap full');
    disk.write(2 * MIB, noise(11, 10));
    const increment = await bench.backup(vm);
    const [dirtyTicket] = bench.served('broken bitmap, next increment');

    await bench.expectRestored(vm, repaired);
    await bench.expectRestored(vm, increment);
    expect(repaired.disks[0]?.mode).not.toBe('incremental');
    expect(repaired.engine?.backupsStarted).toBe(2);
    expect(increment.disks[0]?.mode).toBe('incremental');
    expect(dirtyTicket).toMatchObject({ dirtyBytes: 64 * KIB });
  });
});

describe('a restore to the engine', () => {
  const bench = useInterop();

  it('makes real disks with the same bytes, in both formats', async () => {
    const sizeBytes = 16 * MIB + 4096;
    const vm = bench.addVm('origin', [
      { name: 'sys', sizeBytes },
      { name: 'raw', format: 'raw', sizeBytes },
    ]);
    for (const [at, name] of ['sys', 'raw'].entries()) {
      bench.image(vm, name).write(MIB + 7, noise(12 + at, 5 * MIB));
    }
    const full = await bench.backup(vm);
    bench.served('restore: backup before');

    const { newVmId } = await bench.restore(vm);

    bench.served('restore to the engine');
    const restored = bench.lab.vm(newVmId);
    for (const [at, name] of ['sys', 'raw'].entries()) {
      const { image } = bench.image(restored, restored.disks[at]?.id ?? '');
      const { referencePath } = bench.frozen(vm, full, name);
      expectIdentical(image, referencePath);
      const data = mapOf('-f', image.format, image.path).filter((one) => one.data && !one.zero);
      expect(data.reduce((sum, one) => sum + one.length, 0)).toBeLessThan(6 * MIB);
    }
    const { image } = bench.image(restored, restored.disks[0]?.id ?? '');
    expect(qemuImg('check', '-f', 'qcow2', image.path)).toContain('No errors were found');
  });
});
