/** VMs by their configuration: exported as OVF, imported again, made by fields. */
import { describe, expect, it } from 'vitest';
import { GIB, MIB } from '../../src/core/units.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { Answer } from '../helpers/lab/engineClient.ts';
import { endBackup, readyBackup } from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const fixture = useLabClient();

/** Names of the network cards, as the configuration has them. */
async function nicsOf(vm: LabVm): Promise<string[]> {
  return [...(await ovfOf(vm)).matchAll(/<rasd:Name>(.*?)</g)].map(([, name = '']) => name);
}

async function ovfOf(vm: LabVm): Promise<string> {
  const json = await fixture.client.get(`/vms/${vm.id}?all_content=true`);
  expect(json['initialization'].configuration.type).toBe('ovf');
  return json['initialization'].configuration.data as string;
}

describe('the configuration', () => {
  it('names the VM, its disks, cards and memory, and only when asked for', async () => {
    const web = fixture.addVm({ name: 'web1', nics: ['nic1'] });
    const ovf = await ovfOf(web);

    expect(ovf).toContain('<Name>web1</Name>');
    expect(ovf).toContain(`ovf:fileRef="${web.disk('root').id}/`);
    expect(ovf).toContain('<rasd:Name>nic1</rasd:Name>');
    expect(ovf).toContain('<rasd:VirtualQuantity>1024</rasd:VirtualQuantity>');
    expect((await fixture.client.get(`/vms/${web.id}`))['initialization']).toBeUndefined();
    const byHeader = await fixture.client.call('GET', `/vms/${web.id}`, undefined, {
      'all-content': 'true',
    });
    expect(byHeader.json['initialization']).toBeDefined();
  });

  it('holds the automatic snapshot while a hybrid backup runs', async () => {
    const vm = fixture.addVm({ name: 'ovf', disks: [{ name: 'ovf_root', sizeBytes: MIB }] });
    expect(await ovfOf(vm)).not.toContain('Auto-generated');
    const backup = await readyBackup(fixture.client, vm);
    expect(await ovfOf(vm)).toContain('Auto-generated for Backup VM');
    await endBackup(fixture.client, backup);
    expect(await ovfOf(vm)).not.toContain('Auto-generated');
  });

  it('comes back as a VM with new ids, cards and the floating disks it names', async () => {
    const vm = fixture.addVm({
      name: 'movable',
      status: 'down',
      nics: ['nic1', 'nic2'],
      disks: [{ name: 'movable_root', sizeBytes: MIB }],
    });
    const data = await ovfOf(vm);
    const importAs = (name: string, regenerate: boolean): Promise<Answer> =>
      fixture.client.call('POST', '/vms', {
        name,
        cluster: { name: 'Default' },
        initialization: { regenerate_ids: regenerate, configuration: { type: 'ovf', data } },
      });
    expect((await importAs('movable', true)).status).toBe(409);
    expect((await importAs('clone', false)).status).toBe(409);
    await fixture.client.call('DELETE', `/vms/${vm.id}?detach_only=true`);
    const { status, json } = await importAs('restored', true);

    expect(status).toBe(201);
    expect(json['id']).not.toBe(vm.id);
    const restored = fixture.lab.vm('restored');
    expect(restored.status).toBe('down');
    expect(restored.disks.map(({ name }) => name)).toEqual(['movable_root']);
    expect(await nicsOf(restored)).toEqual(['nic1', 'nic2']);
  });

  it('that is no OVF is refused', async () => {
    const { status } = await fixture.client.call('POST', '/vms', {
      cluster: { name: 'Default' },
      initialization: { configuration: { type: 'ovf', data: 'hello' } },
    });

    expect(status).toBe(400);
  });
});

describe('creating a VM by its fields', () => {
  it('needs name, cluster and template, and keeps what it was told', async () => {
    const whole = {
      name: 'made',
      cluster: { name: 'Default' },
      template: { name: 'Blank' },
      memory: String(2 * GIB),
      cpu: { topology: { sockets: 2, cores: '1', threads: 1 } },
    };
    for (const missing of ['name', 'cluster', 'template']) {
      const { status, json } = await fixture.client.call('POST', '/vms', {
        ...whole,
        [missing]: undefined,
      });
      expect([missing, status, json['reason']]).toEqual([missing, 400, 'Incomplete parameters']);
    }
    const vm = await fixture.client.post('/vms', whole);
    expect(vm).toMatchObject({ memory: String(2 * GIB), cpu: { topology: { sockets: '2' } } });

    expect((await fixture.client.call('DELETE', `/vms/${vm['id']}`)).status).toBe(200);
    expect((await fixture.client.call('GET', `/vms/${vm['id']}`)).status).toBe(404);
  });
});
