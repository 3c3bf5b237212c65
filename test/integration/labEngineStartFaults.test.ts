/** Reasons why the lab's engine refuses to start a backup, and their order. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import type { LabVm, LabVmSpec } from '../../lab/src/index.ts';
import {
  diskRefs,
  eventCodes,
  readyBackup,
  startBackup,
  wholeBackup,
} from '../helpers/engineFlows.ts';
import { useLab } from '../helpers/labFixture.ts';

const UNKNOWN_ID = '11111111-2222-4333-8444-555555555555';
const LEGACY = { compatibility: [4, 6] } as const;

const fixture = useLab();

interface Refusal {
  readonly status: number;
  readonly detail: string;
}

async function refusalOf(vm: LabVm, body: object = {}): Promise<Refusal> {
  const { status, json } = await fixture.client.call('POST', `/vms/${vm.id}/backups`, {
    disks: diskRefs(vm),
    ...body,
  });
  return { status, detail: json['detail'] as string };
}

async function expectRefusal(
  vm: LabVm,
  status: number,
  phrase: string,
  body?: object,
): Promise<void> {
  const refusal = await refusalOf(vm, body);
  expect(refusal).toEqual({ status, detail: expect.stringContaining(phrase) });
  expect(refusal.detail).toMatch(/^\[.*\]$/s);
}

const refs = (...ids: string[]): object => ({ disks: { disk: ids.map((id) => ({ id })) } });

describe('the start of a backup is refused', () => {
  it('without disks', async () => {
    const vm = fixture.addVm();
    for (const disks of [undefined, {}, { disk: [] }, { disk: [{}] }]) {
      const { status, json } = await fixture.client.call('POST', `/vms/${vm.id}/backups`, {
        disks,
      });
      expect([status, json['reason']]).toEqual([400, 'Incomplete parameters']);
      expect(json['detail']).toMatch(/^Backup \[.*\] required for add$/);
    }
  });

  it('to a user without the permission', async () => {
    fixture.lab.behaviour.forbidsBackup = true;
    await expectRefusal(fixture.addVm(), 403, 'User is not authorized to perform this action.');
  });

  it('while another backup starts', async () => {
    fixture.lab.behaviour.backupHangs = true;
    const vm = fixture.addVm();
    await startBackup(fixture.client, vm);
    await expectRefusal(vm, 409, 'The VM is during a backup operation');
  });

  it('while another operation holds a disk', async () => {
    const vm = fixture.addVm({ status: 'down' });
    await fixture.client.post('/imagetransfers', {
      disk: { id: vm.disk('root').id },
      direction: 'download',
      format: 'raw',
      inactivity_timeout: 0,
    });
    await expectRefusal(vm, 409, 'Disk is locked');
  });

  it.each([['hosted_engine'], ['managed_hosted_engine']])('for origin %s', async (origin) => {
    await expectRefusal(
      fixture.addVm({ origin }),
      409,
      'Backup of Hosted Engine VM is not supported',
    );
  });

  it('for a disk that does not exist', async () => {
    await expectRefusal(fixture.addVm(), 400, 'disk(s) ID(s) does not exist', refs(UNKNOWN_ID));
  });

  it.each([
    ['legacy', LEGACY, 409, 'following disks are locked'],
    ['hybrid', {}, 400, '[]'],
  ])('for a locked image (%s)', async (_, spec, status, phrase) => {
    fixture.lab.behaviour.diskCreateHangs = true;
    const vm = fixture.addVm(spec as Partial<LabVmSpec>);
    const { id } = await fixture.client.post(`/vms/${vm.id}/diskattachments`, {
      bootable: false,
      interface: 'virtio',
      disk: {
        format: 'cow',
        provisioned_size: MIB,
        storage_domains: { storage_domain: [{ name: 'data' }] },
      },
    });
    await expectRefusal(vm, status, phrase, refs(id));
  });

  it('for an unplugged disk', async () => {
    const vm = fixture.addVm({ disks: [{ name: 'off', sizeBytes: MIB, active: false }] });
    await expectRefusal(vm, 409, 'are not active on VM');
  });

  it('for the disk of another VM', async () => {
    const other = fixture.addVm({ name: 'other', disks: [{ name: 'theirs', sizeBytes: MIB }] });
    await expectRefusal(
      fixture.addVm(),
      500,
      'General command validation failure.',
      refs(other.disk('theirs').id),
    );
  });

  it('as an increment on an old cluster', async () => {
    await expectRefusal(
      fixture.addVm({ compatibility: [4, 4] }),
      400,
      'Incremental backup is not supported',
      { from_checkpoint_id: UNKNOWN_ID },
    );
  });

  it('from an unknown checkpoint', async () => {
    await expectRefusal(fixture.addVm(), 400, `Checkpoint ID ${UNKNOWN_ID} doesn't exist`, {
      from_checkpoint_id: UNKNOWN_ID,
    });
  });

  it('from an invalid checkpoint', async () => {
    const vm = fixture.addVm();
    const from = await wholeBackup(fixture.client, vm);
    vm.revertSnapshot('invalid');
    await expectRefusal(vm, 400, 'is invalid and should be removed', { from_checkpoint_id: from });
  });

  it.each([['paused'], ['migrating'], ['powering_up'], ['suspended'], ['image_locked']] as const)(
    'in status %s',
    async (status) => {
      await expectRefusal(fixture.addVm({ status }), 409, 'should be in Up or Down status');
    },
  );

  it('while a snapshot is previewed', async () => {
    await expectRefusal(fixture.addVm({ previewsSnapshot: true }), 409, 'previewing a Snapshot');
  });

  it('live on a host that is too old', async () => {
    await expectRefusal(fixture.addVm({ compatibility: [4, 3] }), 409, 'version lower than 4.4.5');
  });

  it('cold on an old cluster', async () => {
    const vm = fixture.addVm({ compatibility: [4, 4], status: 'down' });
    await expectRefusal(vm, 400, 'Incremental backup is not supported');
  });

  it('while another backup is unfinished', async () => {
    const vm = fixture.addVm();
    await readyBackup(fixture.client, vm);
    await expectRefusal(vm, 409, 'The VM is during a backup operation');
  });

  it('with a description that is too long', async () => {
    await expectRefusal(fixture.addVm(), 400, "shouldn't contain more than 1024", {
      description: 'x'.repeat(1025),
    });
    const fine = await fixture.client.call('POST', `/vms/${fixture.lab.vm('vm').id}/backups`, {
      description: 'x'.repeat(1024),
      disks: diskRefs(fixture.lab.vm('vm')),
    });
    expect(fine.status).toBe(201);
  });

  it('with an id that is in use', async () => {
    const first = fixture.addVm({ name: 'first' });
    const backup = await readyBackup(fixture.client, first);
    const second = fixture.addVm({ name: 'second', disks: [{ name: 'two', sizeBytes: MIB }] });
    await expectRefusal(second, 400, 'already exists', { id: backup.id });
  });
});

describe('the order of refusals', () => {
  it('puts permission before everything, and locks before validations', async () => {
    const vm = fixture.addVm({ status: 'paused', origin: 'hosted_engine' });
    await expectRefusal(vm, 409, 'Hosted Engine', { description: 'x'.repeat(2000) });
    fixture.lab.behaviour.forbidsBackup = true;
    await expectRefusal(vm, 403, 'not authorized');
  });

  it('looks at disks before the checkpoint, and at the checkpoint before the status', async () => {
    const vm = fixture.addVm({ status: 'paused' });
    const from = { from_checkpoint_id: UNKNOWN_ID };
    await expectRefusal(vm, 400, 'does not exist', { ...refs(UNKNOWN_ID), ...from });
    await expectRefusal(vm, 400, "doesn't exist", from);
  });
});

describe('an execution that fails inside the call', () => {
  it.each([
    ['a LUN', { storageType: 'lun', format: 'raw' }],
    ['a shareable disk', { shareable: true }],
  ] as const)('because of %s leaves a failed backup and event 10792', async (_, special) => {
    const vm = fixture.addVm({ disks: [{ name: 'special', sizeBytes: MIB, ...special }] });
    expect(await refusalOf(vm)).toEqual({ status: 400, detail: '[]' });

    const { backup } = await fixture.client.get(`/vms/${vm.id}/backups`);
    expect(backup).toEqual([expect.objectContaining({ phase: 'failed' })]);
    expect(eventCodes(fixture.lab).at(-1)).toBe(10792);
    expect(fixture.lab.leftovers()).toEqual([]);
  });

  it('does not concern legacy backups, which leave such disks out', async () => {
    const vm = fixture.addVm({
      ...LEGACY,
      disks: [
        { name: 'plain', sizeBytes: MIB },
        { name: 'lun', sizeBytes: MIB, storageType: 'lun', format: 'raw' },
        { name: 'shared', sizeBytes: MIB, shareable: true },
      ],
    });
    const backup = await readyBackup(fixture.client, vm);
    const { disk } = await fixture.client.get(`${backup.path}/disks`);

    expect(disk.map(({ name }: { name: string }) => name)).toEqual(['plain']);
  });

  it('as a failed redefine takes all checkpoints along', async () => {
    const vm = fixture.addVm(LEGACY);
    const from = await wholeBackup(fixture.client, vm);
    fixture.lab.behaviour.redefineFails = true;
    expect(await refusalOf(vm, { from_checkpoint_id: from })).toEqual({
      status: 400,
      detail: '[]',
    });

    expect(await fixture.client.get(`/vms/${vm.id}/checkpoints`)).toEqual({});
    expect(eventCodes(fixture.lab)).toContain(10791);
    await wholeBackup(fixture.client, vm);
  });

  it('happens to a live increment over broken bitmaps', async () => {
    const vm = fixture.addVm(LEGACY);
    const from = await wholeBackup(fixture.client, vm);
    vm.disk('root').breakBitmaps();

    expect(await refusalOf(vm, { from_checkpoint_id: from })).toEqual({
      status: 400,
      detail: '[]',
    });
    expect(vm.checkpointIds()).toEqual([]);
  });
});
