/** Backups of the lab's engine that fail, hang, collide or time out. */
import { describe, expect, it } from 'vitest';
import {
  diskRefs,
  dirtyOffsets,
  endBackup,
  eventCodes,
  readyBackup,
  startBackup,
  wholeBackup,
} from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const LEGACY = { compatibility: [4, 6] } as const;
const COLD = { ...LEGACY, status: 'down' } as const;

const fixture = useLabClient();

describe('a backup that fails', () => {
  it.each([
    ['hybrid', {}],
    ['live', LEGACY],
    ['cold', COLD],
  ])('as a %s one leaves no checkpoint, no lock and event 10792', async (_, spec) => {
    fixture.lab.behaviour.backupFails = true;
    const vm = fixture.addVm(spec);
    const { id } = await startBackup(fixture.client, vm);
    await fixture.client.waitFor(`/vms/${vm.id}/backups/${id}`, 'phase', 'failed');

    expect(vm.checkpointIds()).toEqual([]);
    expect(fixture.lab.leftovers()).toEqual([]);
    expect(eventCodes(fixture.lab).at(-1)).toBe(10792);
  });

  it('after its frozen moment gives its bitmap to the checkpoint before', async () => {
    const vm = fixture.addVm(LEGACY);
    const disk = vm.disks[0];
    const from = await wholeBackup(fixture.client, vm);
    disk?.write(0, Buffer.from('before'));
    const failing = await readyBackup(fixture.client, vm, { from });
    disk?.write(256 * 1024, Buffer.from('while it ran'));
    vm.status = 'down';
    await fixture.client.waitFor(failing.path, 'phase', 'failed');
    vm.status = 'up';

    expect(vm.checkpointIds()).toEqual([from]);
    const next = await readyBackup(fixture.client, vm, { from });
    expect(await dirtyOffsets(fixture.client, next, disk?.id ?? '')).toEqual([0, 256 * 1024]);
    await endBackup(fixture.client, next);
  });

  it('to be consistent says that the guest could not be frozen', async () => {
    fixture.lab.behaviour.freezeFails = true;
    const strict = fixture.addVm(LEGACY);
    const { id } = await startBackup(fixture.client, strict, {
      query: '?require_consistency=true',
    });
    await fixture.client.waitFor(`/vms/${strict.id}/backups/${id}`, 'phase', 'failed');
    expect(eventCodes(fixture.lab)).toContain(10764);

    const lenient = await readyBackup(fixture.client, fixture.addVm(LEGACY));
    expect(lenient.entity['phase']).toBe('ready');
  });
});

describe('a backup that hangs', () => {
  it.each([
    ['hybrid', {}, 200],
    ['live', LEGACY, 400],
  ])('as a %s one ends in failure when it is finalized', async (_, spec, status) => {
    fixture.lab.behaviour.backupHangs = true;
    const vm = fixture.addVm(spec);
    const { id } = await startBackup(fixture.client, vm);
    const path = `/vms/${vm.id}/backups/${id}`;
    await fixture.client.waitFor(path, 'phase', 'starting');

    expect((await fixture.client.call('POST', `${path}/finalize`, {})).status).toBe(status);
    await fixture.client.waitFor(path, 'phase', 'failed');
    expect(fixture.lab.leftovers()).toEqual([]);
  });

  it('goes on when the switch is turned off', async () => {
    fixture.lab.behaviour.backupHangs = true;
    const vm = fixture.addVm();
    const { id } = await startBackup(fixture.client, vm);
    fixture.lab.behaviour.backupHangs = false;

    await fixture.client.waitFor(`/vms/${vm.id}/backups/${id}`, 'phase', 'ready');
  });
});

describe('a merge that fails', () => {
  it('still succeeds, leaves the snapshot and says so in event 10813', async () => {
    fixture.lab.behaviour.mergeFails = true;
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    await endBackup(fixture.client, backup);
    const snapshot = `/vms/${vm.id}/snapshots/${backup.entity['snapshot'].id}`;

    expect(eventCodes(fixture.lab)).toContain(10813);
    expect(await fixture.client.get(snapshot)).toMatchObject({ snapshot_status: 'ok' });
    expect(fixture.lab.leftovers()).toEqual([expect.stringContaining('automatic snapshot')]);
    expect((await fixture.client.call('DELETE', snapshot)).status).toBe(200);
    await fixture.client.waitGone(snapshot);
    expect(fixture.lab.leftovers()).toEqual([]);
  });
});

describe('a second backup', () => {
  it.each([
    ['hybrid', {}],
    ['live', LEGACY],
    ['cold', COLD],
  ])('of the same VM is refused during a %s one', async (_, spec) => {
    const vm = fixture.addVm(spec);
    const backup = await readyBackup(fixture.client, vm);
    const { status, json } = await fixture.client.call('POST', `/vms/${vm.id}/backups`, {
      disks: diskRefs(vm),
    });

    expect(status).toBe(409);
    expect(json['detail']).toContain('The VM is during a backup operation');
    await endBackup(fixture.client, backup);
    await wholeBackup(fixture.client, vm);
  });

  it('is refused while another product backs up, which is no leftover of ours', async () => {
    const vm = fixture.addVm();
    const foreign = vm.startForeignBackup();
    const { status } = await fixture.client.call('POST', `/vms/${vm.id}/backups`, {
      disks: diskRefs(vm),
    });
    expect(status).toBe(409);
    expect(fixture.lab.leftovers()).toEqual([]);
    const path = `/vms/${vm.id}/backups/${foreign}`;
    await fixture.client.waitFor(path, 'phase', 'ready');
    vm.endForeignBackup(foreign);
    await fixture.client.waitFor(path, 'phase', 'succeeded');
    await wholeBackup(fixture.client, vm);
  });
});

describe('an old engine', () => {
  it('forgets a backup at its end', async () => {
    fixture.lab.behaviour.forgetsFinished = true;
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    await fixture.client.post(`${backup.path}/finalize`);
    await fixture.client.waitGone(backup.path);

    expect(vm.checkpointIds()).toHaveLength(1);
    expect(fixture.lab.leftovers()).toEqual([]);
  });
});
