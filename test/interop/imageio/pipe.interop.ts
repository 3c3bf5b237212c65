/** A real qcow2 disk, piped to a sink of the caller through the real ovirt-imageio over TLS. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../../src/core/units.ts';
import { openVm } from '../../../src/sessions/pipe/openVm.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { VmCopy } from '../../helpers/lab/pipes.ts';
import { BLOCK_BYTES, useInterop } from '../bench.ts';

describe.each([
  ['hybrid', [4, 7]],
  ['legacy', [4, 6]],
] as const)('a qcow2 disk with %s backups', (kind, compatibility) => {
  const bench = useInterop();

  it.each(['none', 'lz4'] as const)(
    'is piped in full and by its changes, to the byte (compress: %s)',
    async (compress) => {
      const sizeBytes = 48 * MIB + 12 * KIB;
      const vm = bench.addVm('web01', [{ name: 'sys', sizeBytes }], { compatibility });
      const image = bench.image(vm, 'sys');
      image.write(MIB, noise(1, 16 * MIB));
      image.write(sizeBytes - 5000, Buffer.alloc(5000, 'text '));
      const copy = new VmCopy();
      let since: string | undefined;
      const modes: string[] = [];

      for (let call = 0; call < 3; call++) {
        await using backup = await openVm({
          engine: bench.settings(),
          vm: vm.id,
          since,
          journal: path.join(bench.folder, 'journal'),
          blockSizeBytes: BLOCK_BYTES,
          workers: 0,
        });
        image.write(2 * MIB + call * MIB + 100, noise(call + 2, 300 * KIB));
        for (const disk of backup.disks) {
          const report = await disk.pipe({ ...copy.of(disk).sink(), compress });
          modes.push(report.mode);
          if (call > 0) expect(report.blockBytes).toBe(2 * BLOCK_BYTES);
        }
        const { checkpointId } = await backup.finish();
        expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
        since = checkpointId;
      }

      expect(modes).toEqual(['full', 'incremental', 'incremental']);
      bench.served(`${kind}, piped with compress ${compress}`);
    },
  );
});
