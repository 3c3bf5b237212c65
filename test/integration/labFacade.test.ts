/** The lab as tests use it: samples, options, leftovers, guests, end. */
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { MIB, TIB } from '../../src/core/units.ts';
import { addSampleVms, letGuestsWrite, startLab } from '../../lab/src/index.ts';
import type { LabVm } from '../../lab/src/index.ts';
import { EngineClient, type Json, waitUntil } from '../helpers/lab/engineClient.ts';
import { endBackup, readyBackup, startBackup } from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const fixture = useLabClient();

const PIECE_BYTES = 8 * MIB;

function idsOf(vms: readonly LabVm[]): string[] {
  return vms.flatMap(({ id, disks }) => [id, ...disks.map((disk) => disk.id)]);
}

describe('sample VMs', () => {
  it('have the same content in every lab', async () => {
    await using other = await startLab();
    addSampleVms(fixture.lab);
    addSampleVms(other);

    expect(fixture.lab.vms.map(({ name }) => name)).toEqual(['web01', 'db01', 'files01', 'old01']);
    for (const vm of fixture.lab.vms) {
      for (const disk of vm.disks) {
        const same = other.disk(disk.name);
        expect([disk.sizeBytes, disk.allocatedBytes()]).toEqual([same.sizeBytes, 3 * MIB]);
        for (let atBytes = 0; atBytes < disk.sizeBytes; atBytes += PIECE_BYTES) {
          const isSame = disk.read(atBytes, PIECE_BYTES).equals(same.read(atBytes, PIECE_BYTES));
          if (!isSame) expect.fail(`${disk.name} differs at ${atBytes} B`);
        }
      }
    }
  });

  // The product takes an id of version 8 for one of images of its own.
  it('have ids of the version that engines make', () => {
    addSampleVms(fixture.lab);

    expect(idsOf(fixture.lab.vms).map((id) => id.charAt(14))).toEqual(
      idsOf(fixture.lab.vms).map(() => '4'),
    );
  });

  it('have the same ids in every lab', async () => {
    await using other = await startLab();

    addSampleVms(fixture.lab);
    addSampleVms(other);

    const ids = idsOf(other.vms);
    expect(idsOf(fixture.lab.vms)).toEqual(ids);
    expect(new Set(ids).size).toBe(13);
    expect(ids.filter((id) => !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))).toEqual([]);
  });

  it('cover the kinds of disks and VMs', async () => {
    addSampleVms(fixture.lab);
    const facts = await Promise.all(
      fixture.lab.vms.map(async ({ id, name, status }) => {
        const path = `/vms/${id}/diskattachments?follow=disk`;
        const attachments = (await fixture.client.get(path))['disk_attachment'] as Json[];
        const disks = attachments.map(({ disk }) =>
          [disk.storage_type, disk.format, disk.shareable].join(' '),
        );
        return [name, status, ...disks];
      }),
    );

    expect(facts).toEqual([
      ['web01', 'up', 'image cow false', 'image cow false', 'image raw false'],
      ['db01', 'up', 'image cow false', 'image raw false'],
      ['files01', 'up', 'image cow false', 'lun  false', 'image raw true'],
      ['old01', 'down', 'image raw false'],
    ]);
  });
});

async function backUp(vm: LabVm): Promise<void> {
  const backup = await readyBackup(fixture.client, vm);
  await endBackup(fixture.client, backup);
}

describe('guests that write', () => {
  it('change a little of each disk at the end of a backup, the same in every lab', async () => {
    const vm = fixture.addVm({ disks: [{ name: 'root', sizeBytes: 64 * MIB }] });
    letGuestsWrite(fixture.lab);
    const digests = new Set([vm.disk('root').digest()]);

    for (let round = 0; round < 3; round++) {
      await backUp(vm);
      digests.add(vm.disk('root').digest());
    }

    expect(digests.size).toBe(4);
    expect(vm.disk('root').allocatedBytes()).toBeLessThan(MIB);
    const log = vm
      .disk('root')
      .read(3 * 4 * MIB, 60)
      .toString();
    expect(log).toContain('root: log of the guest after backup 3');
  });

  it('rest in a VM that is down, and in a lab that was not asked to let them', async () => {
    const vm = fixture.addVm({ compatibility: [4, 6] });
    const before = vm.disk('root').digest();
    await backUp(vm);
    letGuestsWrite(fixture.lab);
    vm.status = 'down';
    await backUp(vm);

    expect(vm.disk('root').digest()).toBe(before);
  });
});

describe('options', () => {
  it('set user, password and storage domains', async () => {
    await using lab = await startLab({
      username: 'me@corp',
      password: 'sesame',
      storageDomains: [{ name: 'fc', type: 'fcp', availableBytes: TIB }],
    });
    await using client = await EngineClient.login(lab);
    const { storage_domain: domains } = await client.get('/storagedomains');

    expect(lab.secrets()).toContain('sesame');
    expect(domains).toEqual([
      expect.objectContaining({ name: 'fc', storage: { type: 'fcp' }, available: String(TIB) }),
    ]);
  });

  it('that name a port in use fail, and leave nothing open', async () => {
    const port = Number(new URL(fixture.lab.url).port);

    await expect(startLab({ port })).rejects.toThrow(/EADDRINUSE/);
  });
});

describe('the facade', () => {
  it('finds VMs and disks by name and id, and says what it does not know', () => {
    const vm = fixture.addVm();
    const disk = vm.disk('root');

    expect(fixture.lab.vm(vm.id)).toBe(vm);
    expect(fixture.lab.vm('vm')).toBe(vm);
    expect(fixture.lab.disk(disk.id)).toBe(disk);
    expect([fixture.lab.hasDisk('root'), fixture.lab.hasDisk('x')]).toEqual([true, false]);
    expect(() => fixture.lab.vm('x')).toThrow(/no VM x/);
    expect(() => vm.disk('x')).toThrow(/no disk x/);
    expect(() => vm.frozenView('x', 'root')).toThrow(/no frozen view/);
  });

  it('takes disks of any size', async () => {
    const vm = fixture.addVm({ disks: [{ name: 'root', sizeBytes: 64 * TIB }] });
    vm.disk('root').write(63 * TIB, Buffer.from('far'));
    const json = await fixture.client.get(`/disks/${vm.disk('root').id}`);

    expect(json['provisioned_size']).toBe(String(64 * TIB));
    expect(
      vm
        .disk('root')
        .read(63 * TIB, 3)
        .toString(),
    ).toBe('far');
  });

  it('lists what is left over, until it is gone', async () => {
    const vm = fixture.addVm({ compatibility: [4, 6] });
    const backup = await readyBackup(fixture.client, vm);
    expect(fixture.lab.leftovers()).toEqual([
      `backup ${backup.id} of VM vm is ready`,
      expect.stringMatching(/^disk root .* is locked$/),
    ]);
    await fixture.client.post(`${backup.path}/finalize`);
    await waitUntil('a clean engine', async () =>
      fixture.lab.leftovers().length === 0 ? true : undefined,
    );
  });

  it('keeps frozen views of backups that are gone', async () => {
    fixture.lab.behaviour.forgetsFinished = true;
    const vm = fixture.addVm();
    vm.disk('root').write(0, Buffer.from('then'));
    const backup = await readyBackup(fixture.client, vm);
    vm.disk('root').write(0, Buffer.from('now!'));
    await fixture.client.post(`${backup.path}/finalize`);
    await fixture.client.waitGone(backup.path);
    const checkpoint = backup.entity['to_checkpoint_id'] as string;

    expect(vm.frozenView(backup.id, 'root').read(0, 4).toString()).toBe('then');
    expect(vm.frozenView(checkpoint, vm.disk('root').id).read(0, 4).toString()).toBe('then');
  });

  it('runs code of a fault at the moment of a request', async () => {
    const vm = fixture.addVm();
    fixture.lab.faults.add(
      { method: 'POST', path: /backups$/, nth: 1 },
      { run: (lab) => lab.vm('vm').disk('root').write(0, Buffer.from('just in time')) },
    );
    const backup = await readyBackup(fixture.client, vm);

    expect(vm.frozenView(backup.id, 'root').read(0, 4).toString()).toBe('just');
  });

  it('does the work of a request whose answer is cut off', async () => {
    const vm = fixture.addVm();
    fixture.lab.faults.add({ method: 'POST', path: /backups$/, nth: 1 }, { cutAfterBytes: 0 });
    await expect(startBackup(fixture.client, vm)).rejects.toThrow();

    expect((await fixture.client.get(`/vms/${vm.id}/backups`))['backup']).toHaveLength(1);
  });
});

describe('closing', () => {
  it('ends servers and timers in the middle of everything, twice without harm', async () => {
    const lab = await startLab();
    const client = await EngineClient.login(lab);
    const vm = lab.addVm({ name: 'vm', disks: [{ name: 'root', sizeBytes: MIB }] });
    await startBackup(client, vm);
    const port = Number(new URL(lab.url).port);
    await lab.close();
    await lab.close();
    await client.close();

    const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
      connect(port, '127.0.0.1').once('error', resolve);
    });
    expect(error.code).toBe('ECONNREFUSED');
  });
});
