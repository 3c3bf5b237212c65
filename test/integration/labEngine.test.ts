/** Full and incremental backups of the lab, as a client makes them. */
import { describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../src/core/units.ts';
import {
  dirtyOffsets,
  endBackup,
  endTransfer,
  openDownload,
  readyBackup,
  wholeBackup,
} from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const GRANULE_BYTES = 64 * KIB;

describe('a client of the lab', () => {
  const fixture = useLabClient();

  it('reads a full backup that later guest writes do not touch', async () => {
    const vm = fixture.lab.addVm({ name: 'web1', disks: [{ name: 'root', sizeBytes: 8 * MIB }] });
    const disk = vm.disk('root');
    disk.write(0, Buffer.alloc(GRANULE_BYTES, 1));
    const backup = await readyBackup(fixture.client, vm);
    disk.write(0, Buffer.alloc(GRANULE_BYTES, 2));

    const transfer = await openDownload(fixture.client, backup, disk.id);
    const bytes = await fixture.client.readImage(
      transfer['transfer_url'] as string,
      0,
      GRANULE_BYTES,
    );
    await endTransfer(fixture.client, transfer['id'] as string);
    await endBackup(fixture.client, backup);

    expect(bytes.equals(Buffer.alloc(GRANULE_BYTES, 1))).toBe(true);
    expect(vm.frozenView(backup.id, 'root').read(0, 1)).toEqual(Buffer.from([1]));
    expect(fixture.lab.leftovers()).toEqual([]);
  });

  it('sees as dirty what was written since its checkpoint, even during the backup', async () => {
    const vm = fixture.lab.addVm({ name: 'web1', disks: [{ name: 'root', sizeBytes: 8 * MIB }] });
    const disk = vm.disk('root');
    const full = await readyBackup(fixture.client, vm);
    disk.write(2 * GRANULE_BYTES, Buffer.from('during the backup'));
    await endBackup(fixture.client, full);
    disk.write(7 * GRANULE_BYTES, Buffer.from('after it'));

    const from = full.entity['to_checkpoint_id'] as string;
    const increment = await readyBackup(fixture.client, vm, { from });
    const disks = await fixture.client.get(`${increment.path}/disks`);
    const dirty = await dirtyOffsets(fixture.client, increment, disk.id);
    await endBackup(fixture.client, increment);

    expect(disks['disk'][0]).toMatchObject({ id: disk.id, backup_mode: 'incremental' });
    expect(dirty).toEqual([2 * GRANULE_BYTES, 7 * GRANULE_BYTES]);
    expect(vm.checkpointIds()).toEqual([from, increment.entity['to_checkpoint_id']]);
  });

  it('gets the union of all bitmaps since an older checkpoint', async () => {
    const vm = fixture.lab.addVm({ name: 'web1', disks: [{ name: 'root', sizeBytes: 8 * MIB }] });
    const disk = vm.disk('root');
    const first = await wholeBackup(fixture.client, vm);
    disk.write(GRANULE_BYTES, Buffer.from('one'));
    const second = await wholeBackup(fixture.client, vm, { from: first });
    disk.write(5 * GRANULE_BYTES, Buffer.from('two'));

    const sinceFirst = await readyBackup(fixture.client, vm, { from: first });
    expect(await dirtyOffsets(fixture.client, sinceFirst, disk.id)).toEqual([
      GRANULE_BYTES,
      5 * GRANULE_BYTES,
    ]);
    await endBackup(fixture.client, sinceFirst);
    const sinceSecond = await readyBackup(fixture.client, vm, { from: second });
    expect(await dirtyOffsets(fixture.client, sinceSecond, disk.id)).toEqual([5 * GRANULE_BYTES]);
    await endBackup(fixture.client, sinceSecond);
  });
});
