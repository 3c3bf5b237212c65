/** VMs, their disks and cards, and the installation around them. */
import { beforeAll, describe, expect, it } from 'vitest';
import { GIB, MIB } from '../../src/core/units.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { Json } from '../helpers/lab/engineClient.ts';
import { useSharedLabClient } from '../helpers/lab/useLab.ts';

const fixture = useSharedLabClient();
let web: LabVm;

beforeAll(() => {
  web = fixture.lab.addVm({
    name: 'web1',
    nics: ['nic1'],
    disks: [
      { name: 'web1_root', sizeBytes: 4 * MIB },
      { name: 'web1_lun', sizeBytes: 8 * MIB, storageType: 'lun', format: 'raw' },
      { name: 'web1_off', sizeBytes: 4 * MIB, active: false },
    ],
  });
  fixture.lab.addVm({ name: 'web2', status: 'down', tags: ['gold'], disks: [] });
  fixture.lab.addVm({ name: 'db1', compatibility: [4, 6], tags: ['silver', 'gold'], disks: [] });
  fixture.lab.addVm({ name: 'older', compatibility: [4, 4], disks: [] });
});

async function namesOf(path: string, list: string): Promise<string[]> {
  const json = await fixture.client.get(path);
  return ((json[list] ?? []) as { name: string }[]).map(({ name }) => name);
}

async function versionOf(name: string): Promise<unknown> {
  const vm = await fixture.client.get(`/vms/${fixture.lab.vm(name).id}`);
  const { cluster: clusters } = await fixture.client.get('/clusters');
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
    ['tag=gold', ['web2', 'db1']],
    ['tag!=gold', ['web1', 'older']],
    ['name=web* and status=down or tag=silver or name=older', ['web2', 'db1', 'older']],
  ])('is searched by %s', async (search, names) => {
    expect(await namesOf(`/vms?search=${encodeURIComponent(search)}`, 'vm')).toEqual(names);
  });

  it('is searched by id, with regard to case when asked, and refuses an unknown field', async () => {
    expect(await namesOf(`/vms?search=id%3D${web.id}`, 'vm')).toEqual(['web1']);
    expect(await namesOf('/vms?search=name%3DWEB1&case_sensitive=true', 'vm')).toEqual([]);
    expect((await fixture.client.call('GET', '/vms?search=colour%3Dred')).status).toBe(400);
  });

  it('carries attachments and disks when they are followed', async () => {
    const path = '/vms?search=name%3Dweb1&follow=disk_attachments.disk';
    const { vm: vms } = await fixture.client.get(path);
    const attachments = vms[0]['disk_attachments']['disk_attachment'] as Json[];

    expect(attachments).toHaveLength(3);
    expect(attachments[0]?.['disk']).toMatchObject({ provisioned_size: String(4 * MIB) });
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
    const { disk_attachment: attachments } = await fixture.client.get(path);

    expect(attachments[0]).toMatchObject({
      id: web.disk('web1_root').id,
      interface: 'virtio_scsi',
      active: 'true',
      disk: { provisioned_size: String(4 * MIB), format: 'cow', qcow_version: 'qcow2_v3' },
    });
  });

  it('answers 500 to a link that cannot be followed', async () => {
    const path = `/vms/${web.id}/diskattachments`;
    expect((await fixture.client.call('GET', `${path}?follow=rainbow`)).status).toBe(500);
    fixture.lab.behaviour.followFails = true;
    expect((await fixture.client.call('GET', `${path}?follow=disk`)).status).toBe(500);
    expect((await fixture.client.call('GET', path)).status).toBe(200);
    fixture.lab.behaviour.followFails = false;
  });
});

describe('a VM', () => {
  it('has the version of its cluster or one of its own', async () => {
    expect(await versionOf('web1')).toEqual({ major: '4', minor: '7' });
    expect(await versionOf('db1')).toEqual({ major: '4', minor: '6' });
    expect(await versionOf('older')).toEqual({ major: '4', minor: '4' });
  });

  it('shows a host only while it runs', async () => {
    expect((await fixture.client.get(`/vms/${web.id}`))['host'].id).toBeTypeOf('string');
    expect((await fixture.client.get(`/vms/${fixture.lab.vm('web2').id}`))['host']).toBeUndefined();
  });

  it('has one host after the other, and the oldest host below version 4.4', async () => {
    const vms = [7, 7, 7, 3].map((minor, k) =>
      fixture.lab.addVm({ name: `h${k}`, compatibility: [4, minor], disks: [] }),
    );
    const shown = await Promise.all(vms.map(({ id }) => fixture.client.get(`/vms/${id}`)));
    const [first, second, third, old] = shown.map((vm) => vm['host'].id as string);

    expect(third).toBe(first);
    expect(new Set([first, second, old]).size).toBe(3);
  });

  it('shows no host to a user who may not see hosts', async () => {
    fixture.lab.behaviour.hidesHosts = true;
    expect((await fixture.client.get(`/vms/${web.id}`))['host']).toBeUndefined();
    fixture.lab.behaviour.hidesHosts = false;
  });
});

describe('a disk', () => {
  it('on a LUN has neither size nor format nor status nor storage domain', async () => {
    const disk = await fixture.client.get(`/disks/${web.disk('web1_lun').id}`);

    expect(disk).toMatchObject({
      storage_type: 'lun',
      lun_storage: { logical_units: { logical_unit: [{ size: String(8 * MIB) }] } },
    });
    for (const field of ['provisioned_size', 'format', 'status', 'storage_domains', 'backup']) {
      expect(field in disk, field).toBe(false);
    }
  });

  it('that is unplugged says so in its attachment', async () => {
    const attachments = await fixture.client.get(`/vms/${web.id}/diskattachments`);
    const active = attachments['disk_attachment'].map((entry: { active: string }) => entry.active);

    expect(active).toEqual(['true', 'true', 'false']);
  });
});

describe('attaching and detaching', () => {
  it('needs bootable and interface, leaves the disk inactive, and frees it again', async () => {
    const vm = fixture.lab.addVm({ name: 'attach', disks: [{ name: 'attach_a', sizeBytes: MIB }] });
    const path = `/vms/${fixture.lab.vm('web2').id}/diskattachments`;
    const id = vm.disk('attach_a').id;
    vm.detachDisk('attach_a');
    const incomplete = await fixture.client.call('POST', path, { disk: { id } });
    expect(incomplete.status).toBe(400);
    expect(incomplete.json['reason']).toBe('Incomplete parameters');

    const body = { disk: { id }, bootable: false, interface: 'virtio' };
    const attachment = await fixture.client.post(path, body);
    expect(attachment).toMatchObject({ id, active: 'false', interface: 'virtio' });
    expect((await fixture.client.call('POST', path, body)).status).toBe(409);
    const changed = await fixture.client.call('PUT', `${path}/${id}`, { active: 'true' });
    expect(changed.json['active']).toBe('true');
    await fixture.client.call('DELETE', `/disks/${id}`);
    await fixture.client.waitGone(`/disks/${id}`);
  });

  it('creates a disk in place', async () => {
    const path = `/vms/${fixture.lab.vm('web2').id}/diskattachments`;
    const { status, json } = await fixture.client.call('POST', path, {
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
    await fixture.client.waitFor(`/disks/${json['id']}`, 'status', 'ok');
    expect(fixture.lab.vm('web2').disk('fresh').sizeBytes).toBe(MIB);
  });
});

describe('the installation', () => {
  it('lists storage domains without a status, and their room in whole GiB', async () => {
    const all = await fixture.client.get('/storagedomains');

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
    const [host] = (await fixture.client.get('/hosts'))['host'];
    const query = `hw_id=${host.hardware_information.uuid} and datacenter=Default and status=Up`;
    const found = await fixture.client.get(`/hosts?search=${encodeURIComponent(query)}`);

    expect(found['host'].map(({ id }: { id: string }) => id)).toEqual([host.id]);
  });
});
