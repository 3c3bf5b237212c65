/** VMs, their disks and cards, and the installation around them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GIB, MIB } from '../../src/core/units.ts';
import { type Lab, type LabVm, startLab } from '../../lab/src/index.ts';
import { EngineClient, type Json } from '../helpers/engineClient.ts';

let lab: Lab;
let client: EngineClient;
let web: LabVm;

beforeAll(async () => {
  lab = await startLab();
  client = await EngineClient.login(lab);
  web = lab.addVm({
    name: 'web1',
    nics: ['nic1'],
    disks: [
      { name: 'web1_root', sizeBytes: 4 * MIB },
      { name: 'web1_lun', sizeBytes: 8 * MIB, storageType: 'lun', format: 'raw' },
      { name: 'web1_off', sizeBytes: 4 * MIB, active: false },
    ],
  });
  lab.addVm({ name: 'web2', status: 'down', disks: [] });
  lab.addVm({ name: 'db1', compatibility: [4, 6], disks: [] });
  lab.addVm({ name: 'older', compatibility: [4, 4], disks: [] });
});

afterAll(async () => {
  await client.close();
  await lab.close();
});

async function namesOf(path: string, list: string): Promise<string[]> {
  const json = await client.get(path);
  return ((json[list] ?? []) as { name: string }[]).map(({ name }) => name);
}

async function versionOf(name: string): Promise<unknown> {
  const vm = await client.get(`/vms/${lab.vm(name).id}`);
  const { cluster: clusters } = await client.get('/clusters');
  const cluster = clusters.find(({ id }: Json) => id === vm['cluster'].id);
  return vm['custom_compatibility_version'] ?? cluster['version'];
}

describe('the list of VMs', () => {
  it.each([
    ['name=web*', ['web1', 'web2']],
    ['name=WEB1', ['web1']],
    ['name=web* and status=down', ['web2']],
    ['name!=web* sortby name asc', ['db1', 'older']],
    ['name="db1"', ['db1']],
    ['web', ['web1', 'web2']],
    ['name=nobody', []],
  ])('is searched by %s', async (search, names) => {
    expect(await namesOf(`/vms?search=${encodeURIComponent(search)}`, 'vm')).toEqual(names);
  });

  it('is searched by id, with regard to case when asked, and refuses an unknown field', async () => {
    expect(await namesOf(`/vms?search=id%3D${web.id}`, 'vm')).toEqual(['web1']);
    expect(await namesOf('/vms?search=name%3DWEB1&case_sensitive=true', 'vm')).toEqual([]);
    expect((await client.call('GET', '/vms?search=colour%3Dred')).status).toBe(400);
  });

  it('comes in pages of max', async () => {
    expect(await namesOf('/vms?max=3', 'vm')).toHaveLength(3);
    expect(await namesOf(`/vms?max=3&search=${encodeURIComponent('page 2')}`, 'vm')).toEqual([
      'older',
    ]);
  });
});

describe('the list of attachments', () => {
  it('carries attachments and disks when they are followed', async () => {
    const path = `/vms/${web.id}/diskattachments?follow=disk`;
    const { disk_attachment: attachments } = await client.get(path);

    expect(attachments[0]).toMatchObject({
      id: web.disk('web1_root').id,
      interface: 'virtio_scsi',
      active: 'true',
      disk: { provisioned_size: String(4 * MIB), format: 'cow', qcow_version: 'qcow2_v3' },
    });
  });

  it('answers 500 to a link that cannot be followed', async () => {
    const path = `/vms/${web.id}/diskattachments`;
    expect((await client.call('GET', `${path}?follow=rainbow`)).status).toBe(500);
    lab.behaviour.followFails = true;
    expect((await client.call('GET', `${path}?follow=disk`)).status).toBe(500);
    expect((await client.call('GET', path)).status).toBe(200);
    lab.behaviour.followFails = false;
  });
});

describe('a VM', () => {
  it('has the version of its cluster or one of its own', async () => {
    expect(await versionOf('web1')).toEqual({ major: '4', minor: '7' });
    expect(await versionOf('db1')).toEqual({ major: '4', minor: '6' });
    expect(await versionOf('older')).toEqual({ major: '4', minor: '4' });
  });

  it('shows a host only while it runs', async () => {
    expect((await client.get(`/vms/${web.id}`))['host'].id).toBeTypeOf('string');
    expect((await client.get(`/vms/${lab.vm('web2').id}`))['host']).toBeUndefined();
  });
});

describe('a disk', () => {
  it('on a LUN has neither size nor format nor status nor storage domain', async () => {
    const disk = await client.get(`/disks/${web.disk('web1_lun').id}`);

    expect(disk).toMatchObject({
      storage_type: 'lun',
      lun_storage: { logical_units: { logical_unit: [{ size: String(8 * MIB) }] } },
    });
    for (const field of ['provisioned_size', 'format', 'status', 'storage_domains', 'backup']) {
      expect(field in disk, field).toBe(false);
    }
  });

  it('that is unplugged says so in its attachment', async () => {
    const attachments = await client.get(`/vms/${web.id}/diskattachments`);
    const active = attachments['disk_attachment'].map((entry: { active: string }) => entry.active);

    expect(active).toEqual(['true', 'true', 'false']);
  });
});

describe('attaching and detaching', () => {
  it('needs bootable and interface, leaves the disk inactive, and frees it again', async () => {
    const vm = lab.addVm({ name: 'attach', disks: [{ name: 'attach_a', sizeBytes: MIB }] });
    const path = `/vms/${lab.vm('web2').id}/diskattachments`;
    const id = vm.disk('attach_a').id;
    vm.detachDisk('attach_a');
    const incomplete = await client.call('POST', path, { disk: { id } });
    expect(incomplete.status).toBe(400);
    expect(incomplete.json['reason']).toBe('Incomplete parameters');

    const body = { disk: { id }, bootable: false, interface: 'virtio' };
    const attachment = await client.post(path, body);
    expect(attachment).toMatchObject({ id, active: 'false', interface: 'virtio' });
    expect((await client.call('POST', path, body)).status).toBe(409);
    const changed = await client.call('PUT', `${path}/${id}`, { active: 'true' });
    expect(changed.json['active']).toBe('true');
    await client.call('DELETE', `/disks/${id}`);
    await client.waitGone(`/disks/${id}`);
  });

  it('creates a disk in place', async () => {
    const path = `/vms/${lab.vm('web2').id}/diskattachments`;
    const { status, json } = await client.call('POST', path, {
      bootable: true,
      interface: 'sata',
      disk: {
        name: 'fresh',
        provisioned_size: MIB,
        format: 'raw',
        storage_domains: { storage_domain: [{ name: 'data' }] },
      },
    });

    expect(status).toBe(202);
    await client.waitFor(`/disks/${json['id']}`, 'status', 'ok');
    expect(lab.vm('web2').disk('fresh').sizeBytes).toBe(MIB);
  });
});

describe('the installation', () => {
  it('lists storage domains without a status, and their room in whole GiB', async () => {
    const all = await client.get('/storagedomains');

    expect(
      all['storage_domain'].map((domain: Json) => [domain['name'], domain['storage'].type]),
    ).toEqual([
      ['data', 'nfs'],
      ['block', 'iscsi'],
    ]);
    expect(all['storage_domain'][0].status).toBeUndefined();
    expect(Number(all['storage_domain'][0].available) % GIB).toBe(0);
  });

  it('finds a host by its hardware', async () => {
    const [host] = (await client.get('/hosts'))['host'];
    const query = `hw_id=${host.hardware_information.uuid} and datacenter=Default and status=Up`;
    const found = await client.get(`/hosts?search=${encodeURIComponent(query)}`);

    expect(found['host'].map(({ id }: { id: string }) => id)).toEqual([host.id]);
  });
});
