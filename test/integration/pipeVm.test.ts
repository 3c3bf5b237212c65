/** VMs of an engine piped to sinks of the caller. */
import { describe, expect, it } from 'vitest';
import { openVm, type OpenVmOptions } from '../../src/sessions/pipe/openVm.ts';
import type { DiskSink, OpenDisk } from '../../src/sessions/pipe/openDisk.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const MIB = 1024 * 1024;

/** A sink that keeps a disk as one buffer. */
function bufferSink(target: Buffer): DiskSink {
  return {
    block({ offsetBytes, bytes }) {
      target.set(bytes, offsetBytes);
    },
    zero({ offsetBytes, lengthBytes }) {
      target.fill(0, offsetBytes, offsetBytes + lengthBytes);
    },
  };
}

describe('a VM that is piped', () => {
  const bench = useLab();
  const folder = useTempFolder();

  function options(given: Partial<OpenVmOptions> = {}): OpenVmOptions {
    return {
      engine: bench.settings(),
      vm: 'web01',
      journal: folder.path('journal'),
      blockSizeBytes: BLOCK_BYTES,
      workers: 0,
      ...given,
    };
  }

  it('gives the frozen view, and then its changes', async () => {
    const disks = [{ name: 'sys', sizeBytes: 8 * MIB + 4096, bootable: true }];
    const vm = bench.lab.addVm({ name: 'web01', disks });
    vm.disk('sys').write(MIB, noise(1, 2 * MIB));
    const copy = Buffer.alloc(8 * MIB + 4096, 7);
    let since: string | undefined;
    const modes: string[] = [];

    for (let k = 0; k < 4; k++) {
      const backup = await openVm(options({ since }));
      vm.disk('sys').write(k * MIB, noise(k, 300_000));
      for (const disk of backup.disks) {
        modes.push(`${disk.mode}: ${disk.reason}`);
        await disk.pipe(bufferSink(copy));
      }
      const { checkpointId } = await backup.finish();
      await backup.close();
      since = checkpointId;
      expect(copy.equals(vm.frozenView(checkpointId, 'sys').read(0, copy.length))).toBe(true);
    }

    expect(modes[0]).toBe('full: no checkpoint given');
    expect(modes[3]).toMatch(/^incremental: changes since checkpoint /);
  });

  it('is given back when the backup is closed without finish', async () => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 4 * MIB }] });
    vm.disk('sys').write(0, noise(1, 2 * MIB));

    const backup = await openVm(options());
    const [disk] = backup.disks as [OpenDisk];
    const pipe = disk.pipe({ block: () => new Promise(() => {}), zero: () => {} });
    const failed = expect(pipe).rejects.toMatchObject({ code: 'CANCELLED' });
    await backup.close();
    await failed;

    await expect(backup.finish()).rejects.toMatchObject({ code: 'USAGE_WRONG_STATE' });
    expect(bench.lab.leftovers()).toEqual([]);
  });
});
