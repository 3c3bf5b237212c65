/** Full and incremental backups of the lab, as a client makes them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../src/core/units.ts';
import { type Lab, startLab } from '../../lab/src/index.ts';
import { EngineClient } from '../helpers/engineClient.ts';
import {
  dirtyOffsets,
  endBackup,
  endTransfer,
  openDownload,
  readyBackup,
  wholeBackup,
} from '../helpers/engineFlows.ts';

const GRANULE_BYTES = 64 * KIB;

describe('a client of the lab', () => {
  let lab: Lab;
  let client: EngineClient;

  beforeEach(async () => {
    lab = await startLab();
    client = await EngineClient.login(lab);
  });

  afterEach(async () => {
    await client.close();
    await lab.close();
  });

  it('reads a full backup that later guest writes do not touch', async () => {
    const vm = lab.addVm({ name: 'web1', disks: [{ name: 'root', sizeBytes: 8 * MIB }] });
    const disk = vm.disk('root');
    disk.write(0, Buffer.alloc(GRANULE_BYTES, 1));
    const backup = await readyBackup(client, vm);
    disk.write(0, Buffer.alloc(GRANULE_BYTES, 2));

    const transfer = await openDownload(client, backup, disk.id);
    const bytes = await client.readImage(transfer['transfer_url'] as string, 0, GRANULE_BYTES);
    await endTransfer(client, transfer['id'] as string);
    await endBackup(client, backup);

    expect(bytes.equals(Buffer.alloc(GRANULE_BYTES, 1))).toBe(true);
    expect(vm.frozenView(backup.id, 'root').read(0, 1)).toEqual(Buffer.from([1]));
    expect(lab.leftovers()).toEqual([]);
  });

  it('sees as dirty what was written since its checkpoint, even during the backup', async () => {
    const vm = lab.addVm({ name: 'web1', disks: [{ name: 'root', sizeBytes: 8 * MIB }] });
    const disk = vm.disk('root');
    const full = await readyBackup(client, vm);
    disk.write(2 * GRANULE_BYTES, Buffer.from('during the backup'));
    await endBackup(client, full);
    disk.write(7 * GRANULE_BYTES, Buffer.from('after it'));

    const from = full.entity['to_checkpoint_id'] as string;
    const increment = await readyBackup(client, vm, { from });
    const disks = await client.get(`${increment.path}/disks`);
    const dirty = await dirtyOffsets(client, increment, disk.id);
    await endBackup(client, increment);

    expect(disks['disk'][0]).toMatchObject({ id: disk.id, backup_mode: 'incremental' });
    expect(dirty).toEqual([2 * GRANULE_BYTES, 7 * GRANULE_BYTES]);
    expect(vm.checkpointIds()).toEqual([from, increment.entity['to_checkpoint_id']]);
  });

  it('gets the union of all bitmaps since an older checkpoint', async () => {
    const vm = lab.addVm({ name: 'web1', disks: [{ name: 'root', sizeBytes: 8 * MIB }] });
    const disk = vm.disk('root');
    const first = await wholeBackup(client, vm);
    disk.write(GRANULE_BYTES, Buffer.from('one'));
    const second = await wholeBackup(client, vm, { from: first });
    disk.write(5 * GRANULE_BYTES, Buffer.from('two'));

    const sinceFirst = await readyBackup(client, vm, { from: first });
    expect(await dirtyOffsets(client, sinceFirst, disk.id)).toEqual([
      GRANULE_BYTES,
      5 * GRANULE_BYTES,
    ]);
    await endBackup(client, sinceFirst);
    const sinceSecond = await readyBackup(client, vm, { from: second });
    expect(await dirtyOffsets(client, sinceSecond, disk.id)).toEqual([5 * GRANULE_BYTES]);
    await endBackup(client, sinceSecond);
  });
});
