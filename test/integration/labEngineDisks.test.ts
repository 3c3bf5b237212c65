/** Creating, converting and deleting disks through the lab's engine. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import type { Answer } from '../helpers/lab/engineClient.ts';
import { readyBackup, wholeBackup } from '../helpers/lab/engineFlows.ts';
import { useSharedLabClient } from '../helpers/lab/useLab.ts';

const fixture = useSharedLabClient();

async function create(fields: object, domain = 'data'): Promise<Answer> {
  return await fixture.client.call('POST', '/disks', {
    name: 'made',
    provisioned_size: MIB,
    storage_domains: { storage_domain: [{ name: domain }] },
    ...fields,
  });
}

describe('the table of allowed disks', () => {
  it.each([
    ['raw', false, 'none', 202, 202],
    ['raw', true, 'none', 202, 409],
    ['cow', true, 'none', 202, 202],
    ['cow', true, 'incremental', 202, 202],
    ['cow', false, 'none', 409, 409],
    ['cow', false, 'incremental', 202, 202],
    ['raw', false, 'incremental', 409, 409],
    ['raw', true, 'incremental', 409, 409],
  ])('for %s, sparse %s, backup %s: file %i, block %i', async (...row) => {
    const [format, sparse, backup, onFile, onBlock] = row;
    for (const [domain, status] of [
      ['data', onFile],
      ['block', onBlock],
    ] as const) {
      const answer = await create({ format, sparse, backup }, domain);
      expect(answer.status, domain).toBe(status);
      if (status === 202) continue;
      expect(answer.json['detail']).toContain('is incompatible with the storage domain type');
    }
  });
});

describe('a new disk', () => {
  it('is locked at first and has the id it was given', async () => {
    const id = '5a0f3c52-0d7e-4a51-9a52-000000000001';
    const { json } = await create({ id, format: 'cow', backup: 'incremental', initial_size: 4096 });

    expect(json).toMatchObject({
      id,
      status: 'locked',
      format: 'cow',
      backup: 'incremental',
      qcow_version: 'qcow2_v3',
      initial_size: '4096',
      provisioned_size: String(MIB),
    });
    await fixture.client.waitFor(`/disks/${id}`, 'status', 'ok');
    expect((await create({ id, format: 'cow' })).status).toBe(409);
  });

  it.each([
    ['size', { format: 'cow', provisioned_size: undefined }, 400],
    ['format', {}, 400],
    ['storage domain', { format: 'cow', storage_domains: undefined }, 400],
    [
      'known storage domain',
      { format: 'cow', storage_domains: { storage_domain: [{ name: 'x' }] } },
      404,
    ],
  ])('needs a %s', async (_, fields, status) => {
    const answer = await create(fields);

    expect(answer.status).toBe(status);
    expect(answer.json['reason']).toBeTypeOf('string');
  });

  it('stays locked while creation hangs', async () => {
    fixture.lab.behaviour.diskCreateHangs = true;
    const { json } = await create({ format: 'cow' });
    const path = `/disks/${json['id']}`;
    // A whole backup takes longer than the creation of a disk.
    const vm = fixture.lab.addVm({ name: 'clock', disks: [{ name: 'tick', sizeBytes: MIB }] });
    await wholeBackup(fixture.client, vm);
    expect((await fixture.client.get(path))['status']).toBe('locked');
    expect((await fixture.client.call('DELETE', path)).status).toBe(409);
    expect(fixture.lab.leftovers()).toContainEqual(expect.stringContaining('is locked'));
    fixture.lab.behaviour.diskCreateHangs = false;
    await fixture.client.waitFor(path, 'status', 'ok');
  });
});

describe('conversion', () => {
  it('turns raw into cow, which checkpoints then take in', async () => {
    const vm = fixture.lab.addVm({
      name: 'convert',
      status: 'down',
      disks: [{ name: 'c', sizeBytes: MIB, format: 'raw' }],
    });
    const id = vm.disk('c').id;
    vm.disk('c').write(0, Buffer.from('kept'));
    const convert = (): Promise<Answer> =>
      fixture.client.call('POST', `/disks/${id}/convert`, { disk: { format: 'cow' } });
    vm.status = 'up';
    expect((await convert()).status).toBe(409);
    vm.status = 'down';
    expect((await fixture.client.call('POST', `/disks/${id}/convert`, {})).status).toBe(400);
    const { status } = await convert();

    expect(status).toBe(200);
    const converted = await fixture.client.waitFor(`/disks/${id}`, 'status', 'ok');
    expect(converted['format']).toBe('cow');
    expect(vm.disk('c').read(0, 4).toString()).toBe('kept');
    const checkpoint = await wholeBackup(fixture.client, vm);
    const disks = await fixture.client.get(`/vms/${vm.id}/checkpoints/${checkpoint}/disks`);
    expect(disks['disk']).toHaveLength(1);
  });

  it('is refused for a disk with snapshots', async () => {
    const vm = fixture.lab.addVm({
      name: 'chain',
      status: 'down',
      disks: [{ name: 'chain_disk', sizeBytes: MIB, rawBase: true }],
    });
    const { status } = await fixture.client.call(
      'POST',
      `/disks/${vm.disk('chain_disk').id}/convert`,
      {
        disk: { format: 'raw' },
      },
    );

    expect(status).toBe(409);
  });
});

describe('a cow disk over a raw base', () => {
  it('shows its base, and becomes raw without bitmaps with the last snapshot', async () => {
    const vm = fixture.lab.addVm({
      name: 'trap',
      disks: [{ name: 'trap_disk', sizeBytes: MIB, rawBase: true }],
    });
    const id = vm.disk('trap_disk').id;
    const checkpoint = await wholeBackup(fixture.client, vm);
    const disks = `/vms/${vm.id}/checkpoints/${checkpoint}/disks`;
    expect((await fixture.client.get(disks))['disk']).toHaveLength(1);
    const volumes = await fixture.client.get(`/disks/${id}/disksnapshots`);
    expect(volumes['disk_snapshot']).toEqual([expect.objectContaining({ format: 'raw' })]);
    expect(await fixture.client.get(`/disks/${id}`)).toMatchObject({
      format: 'cow',
      backup: 'incremental',
    });

    const snapshots = (await fixture.client.get(`/vms/${vm.id}/snapshots`))['snapshot'];
    const regular = snapshots.find(
      ({ snapshot_type }: { snapshot_type: string }) => snapshot_type === 'regular',
    );
    await fixture.client.call('DELETE', `/vms/${vm.id}/snapshots/${regular.id}`);
    await fixture.client.waitGone(`/vms/${vm.id}/snapshots/${regular.id}`);

    expect(await fixture.client.get(`/disks/${id}`)).toMatchObject({
      format: 'raw',
      backup: 'none',
    });
    expect(await fixture.client.get(disks)).toEqual({});
    expect(await fixture.client.get(`/disks/${id}/disksnapshots`)).toEqual({});
  });
});

describe('deleting a disk', () => {
  it('takes it away from its VM a little later', async () => {
    const vm = fixture.lab.addVm({
      name: 'del',
      status: 'down',
      disks: [{ name: 'd', sizeBytes: MIB }],
    });
    const id = vm.disk('d').id;
    expect((await fixture.client.call('DELETE', `/disks/${id}`)).status).toBe(200);
    await fixture.client.waitGone(`/disks/${id}`);

    expect(vm.disks).toEqual([]);
    expect(fixture.lab.hasDisk('d')).toBe(false);
  });

  it('is refused for a disk that a backup locks or a running VM uses', async () => {
    const vm = fixture.lab.addVm({ name: 'busy', disks: [{ name: 'b', sizeBytes: MIB }] });
    const path = `/disks/${vm.disk('b').id}`;
    expect((await fixture.client.call('DELETE', path)).status).toBe(409);
    await readyBackup(fixture.client, vm);
    // The API shows a disk of a hybrid backup as free, the engine still holds its lock.
    expect((await fixture.client.get(path))['status']).toBe('ok');
    vm.status = 'down';
    const { status, json } = await fixture.client.call('DELETE', path);
    expect([status, json['detail']]).toEqual([409, expect.stringContaining('Disk is locked')]);
  });
});
