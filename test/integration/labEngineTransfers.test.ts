/** Image transfers of the lab's engine: faults, phases, URLs, actions. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { Answer } from '../helpers/lab/engineClient.ts';
import {
  endBackup,
  endTransfer,
  eventCodes,
  openDownload,
  readyBackup,
  startBackup,
} from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const UNKNOWN_ID = '11111111-2222-4333-8444-555555555555';

const fixture = useLabClient();

async function createTransfer(body: object): Promise<Answer> {
  return await fixture.client.call('POST', '/imagetransfers', {
    direction: 'download',
    format: 'raw',
    // These tests are not about inactivity.
    inactivity_timeout: 0,
    ...body,
  });
}

async function expectRefusal(body: object, status: number, phrase: string): Promise<void> {
  const { status: actual, json } = await createTransfer(body);
  expect([actual, json['detail']]).toEqual([status, expect.stringContaining(phrase)]);
}

const rootOf = (vm: LabVm): { disk: { id: string } } => ({ disk: { id: vm.disk('root').id } });

describe('a transfer is refused', () => {
  it.each([
    [{}, 'ImageTransfer'],
    [{ disk: { id: UNKNOWN_ID } }, 'does not exist'],
    [{ snapshot: { id: UNKNOWN_ID } }, 'does not exist'],
  ])('for %j', async (body, phrase) => {
    await expectRefusal(body, 400, phrase);
  });

  it('for a disk that a running VM uses', async () => {
    await expectRefusal(rootOf(fixture.addVm()), 409, 'plugged to non-Down VMs: vm');
  });

  it('for a disk that is being transferred or locked', async () => {
    const vm = fixture.addVm({ status: 'down' });
    await createTransfer(rootOf(vm));
    await expectRefusal(rootOf(vm), 409, 'is being transferred');

    const other = fixture.addVm({
      name: 'other',
      status: 'down',
      disks: [{ name: 'o', sizeBytes: MIB }],
    });
    await readyBackup(fixture.client, other);
    await expectRefusal({ disk: { id: other.disk('o').id } }, 409, 'Disk is locked');
  });

  it('for a backup that is unknown, not ready, or asked for as cow', async () => {
    const vm = fixture.addVm();
    await expectRefusal(
      { ...rootOf(vm), backup: { id: UNKNOWN_ID } },
      400,
      'The specified VM backup does not exist',
    );
    fixture.lab.behaviour.backupHangs = true;
    const { id } = await startBackup(fixture.client, vm);
    const body = { ...rootOf(vm), backup: { id } };
    await expectRefusal(body, 409, 'not in READY phase, backup phase is STARTING');
    fixture.lab.behaviour.backupHangs = false;
    await fixture.client.waitFor(`/vms/${vm.id}/backups/${id}`, 'phase', 'ready');
    await expectRefusal(
      { ...body, format: 'cow' },
      400,
      'specified format is not applicable for VM backup',
    );
  });
});

describe('a download', () => {
  it('echoes neither disk nor backup, and has URLs only while it has a ticket', async () => {
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    const { json: created } = await createTransfer({
      ...rootOf(vm),
      backup: { id: backup.id },
      inactivity_timeout: '3600',
    });
    expect(created).toMatchObject({
      phase: 'initializing',
      direction: 'download',
      format: 'raw',
      active: 'false',
      transferred: '0',
      inactivity_timeout: '3600',
      timeout_policy: 'legacy',
      shallow: 'false',
      image: { id: vm.disk('root').id },
      link: [],
    });
    for (const name of ['disk', 'backup', 'snapshot', 'transfer_url', 'proxy_url']) {
      expect(name in created, name).toBe(false);
    }
    const path = `/imagetransfers/${created['id']}`;
    const ready = await fixture.client.waitFor(path, 'phase', 'transferring');
    expect(ready['transfer_url']).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/images\/[\da-f-]{36}$/);
    expect(ready['proxy_url']).not.toBe(ready['transfer_url']);
    expect(fixture.lab.secrets()).toContain((ready['transfer_url'] as string).split('/').at(-1));
    expect(fixture.lab.leftovers()).toContainEqual(expect.stringContaining('ticket'));

    await endTransfer(fixture.client, created['id'] as string);
    const done = await fixture.client.get(path);
    expect('transfer_url' in done || 'proxy_url' in done).toBe(false);
    await endBackup(fixture.client, backup);
    expect(fixture.lab.leftovers()).toEqual([]);
  });

  it('that is cancelled ends in failure and only unlocks its disk', async () => {
    const vm = fixture.addVm({ status: 'down' });
    const { json } = await createTransfer(rootOf(vm));
    const path = `/imagetransfers/${json['id']}`;
    expect((await fixture.client.get(`/disks/${vm.disk('root').id}`))['status']).toBe('locked');
    await fixture.client.waitFor(path, 'phase', 'transferring');
    await fixture.client.post(`${path}/cancel`);
    await fixture.client.waitFor(path, 'phase', 'finished_failure');

    expect((await fixture.client.get(`/disks/${vm.disk('root').id}`))['status']).toBe('ok');
    expect(eventCodes(fixture.lab)).toContain(1033);
  });

  it('finalizes itself when everything has been read', async () => {
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    const transfer = await openDownload(fixture.client, backup, vm.disk('root').id);
    await fixture.client.readImage(transfer['transfer_url'] as string, 0, MIB);
    const path = `/imagetransfers/${transfer['id']}`;
    const done = await fixture.client.waitFor(path, 'phase', 'finished_success');

    expect(done['transferred']).toBe(String(MIB));
    expect((await fixture.client.call('POST', `${path}/finalize`, {})).status).toBe(200);
    await endBackup(fixture.client, backup);
  });

  it('of a snapshot shows what was there, while its VM runs on', async () => {
    const vm = fixture.addVm();
    vm.disk('root').write(0, Buffer.from('then'));
    const { id } = await fixture.client.post(`/vms/${vm.id}/snapshots`, { description: 's' });
    vm.disk('root').write(0, Buffer.from('now!'));
    const path = `/disks/${vm.disk('root').id}/disksnapshots`;
    const [volume] = (await fixture.client.get(path))['disk_snapshot'];
    expect(volume.snapshot).toEqual({ id });
    const { json } = await createTransfer({ snapshot: { id: volume.id } });
    const transfer = await fixture.client.waitFor(
      `/imagetransfers/${json['id']}`,
      'phase',
      'transferring',
    );
    const bytes = await fixture.client.readImage(transfer['transfer_url'] as string, 0, 4);

    expect(bytes.toString()).toBe('then');
  });

  it('can be reached over the proxy when the direct port is closed', async () => {
    fixture.lab.behaviour.directUrlUnreachable = true;
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    const transfer = await openDownload(fixture.client, backup, vm.disk('root').id);

    await expect(
      fixture.client.readImage(transfer['transfer_url'] as string, 0, 1),
    ).rejects.toThrow(/ECONNREFUSED/);
    const bytes = await fixture.client.readImage(transfer['proxy_url'] as string, 0, 1);
    expect(bytes).toEqual(Buffer.from([0]));
  });
});

describe('actions', () => {
  it.each([['cancel'], ['finalize'], ['resume']])(
    '%s of an unknown transfer is 200',
    async (action) => {
      const path = `/imagetransfers/${UNKNOWN_ID}/${action}`;
      const { status, json } = await fixture.client.call('POST', path, {});
      expect([status, json]).toEqual([200, { status: 'complete' }]);
    },
  );

  it('that are impossible are 200 too, except resume', async () => {
    const vm = fixture.addVm({ status: 'down' });
    const { json } = await createTransfer(rootOf(vm));
    const path = `/imagetransfers/${json['id']}`;
    const statusOf = async (action: string): Promise<number> =>
      (await fixture.client.call('POST', `${path}/${action}`, {})).status;

    expect(await statusOf('resume')).toBe(409);
    await fixture.client.waitFor(path, 'phase', 'transferring');
    await statusOf('finalize');
    await fixture.client.waitFor(path, 'phase', 'finished_success');
    expect(await statusOf('finalize')).toBe(200);
    expect(await statusOf('cancel')).toBe(200);
    expect((await fixture.client.get(path))['phase']).toBe('finished_success');
  });

  it('are 403 for a user who may not act on transfers', async () => {
    const vm = fixture.addVm({ status: 'down' });
    const { json } = await createTransfer(rootOf(vm));
    fixture.lab.behaviour.forbidsTransferActions = true;
    for (const action of ['finalize', 'cancel']) {
      const path = `/imagetransfers/${json['id']}/${action}`;
      expect((await fixture.client.call('POST', path, {})).status).toBe(403);
    }
  });
});

describe('a transfer that hangs', () => {
  it('stays without URLs until it is cancelled', async () => {
    fixture.lab.behaviour.transferHangs = true;
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    const { json } = await createTransfer({ ...rootOf(vm), backup: { id: backup.id } });
    const path = `/imagetransfers/${json['id']}`;
    const other = fixture.addVm({ name: 'other', disks: [{ name: 'o', sizeBytes: MIB }] });
    await endBackup(fixture.client, await readyBackup(fixture.client, other));
    const hanging = await fixture.client.get(path);
    expect(hanging['phase']).toBe('initializing');
    expect('transfer_url' in hanging).toBe(false);

    await fixture.client.post(`${path}/cancel`);
    await fixture.client.waitFor(path, 'phase', 'finished_failure');
    await endBackup(fixture.client, backup);
  });
});

describe('faults of the plan', () => {
  it('meet the creation of a transfer by its disk', async () => {
    const vm = fixture.addVm({
      disks: [
        { name: 'root', sizeBytes: MIB },
        { name: 'data', sizeBytes: MIB },
      ],
    });
    const backup = await readyBackup(fixture.client, vm);
    const broken = { reason: 'Operation Failed', detail: '[]' };
    fixture.lab.faults.add(
      { method: 'POST', diskId: vm.disk('data').id },
      { status: 400, body: broken },
    );
    const refused = await createTransfer({
      disk: { id: vm.disk('data').id },
      backup: { id: backup.id },
    });

    expect([refused.status, refused.json]).toEqual([400, broken]);
    const created = await createTransfer({ ...rootOf(vm), backup: { id: backup.id } });
    expect(created.status).toBe(201);
  });

  it('match phase and disk, flip phases, and see unknown phases healed', async () => {
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    const transfer = await openDownload(fixture.client, backup, vm.disk('root').id);
    const path = `/imagetransfers/${transfer['id']}`;
    const { faults } = fixture.lab;
    const flip = faults.add(
      { phase: 'transferring', diskId: vm.disk('root').id, nth: 1 },
      { flipPhase: 'confused' },
    );

    expect((await fixture.client.get(path))['phase']).toBe('confused');
    expect(faults.fired(flip)).toBe(1);
    await fixture.client.waitFor(path, 'phase', 'transferring');
    faults.add({ phase: 'transferring', times: 1 }, { flipPhase: 'cancelled_system' });
    await fixture.client.waitFor(path, 'phase', 'finished_failure');
    faults.add({ phase: 'ready', times: 1 }, { flipPhase: 'failed' });
    expect(await fixture.client.get(backup.path)).toMatchObject({ phase: 'failed' });
    expect(vm.checkpointIds()).toEqual([]);
    expect(fixture.lab.leftovers()).toEqual([]);
  });
});
