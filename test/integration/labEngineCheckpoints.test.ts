/** Checkpoints and bitmaps of the lab: chain, removal, loss, and broken bitmaps. */
import { describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../src/core/units.ts';
import type { LabVm } from '../../lab/src/index.ts';
import { type Json, waitUntil } from '../helpers/lab/engineClient.ts';
import {
  dirtyOffsets,
  endBackup,
  endTransfer,
  eventCodes,
  openDownload,
  type ReadyBackup,
  readyBackup,
  wholeBackup,
} from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const GRANULE_BYTES = 64 * KIB;

const fixture = useLabClient();

/** Makes three backups and writes to granule 2, 4, 6 after each. @returns their checkpoints. */
async function threeBackups(vm: LabVm): Promise<[string, string, string]> {
  const ids: string[] = [];
  for (const index of [2, 4, 6]) {
    const from = ids.at(-1);
    ids.push(await wholeBackup(fixture.client, vm, from === undefined ? {} : { from }));
    vm.disk('root').write(index * GRANULE_BYTES, Buffer.from([index]));
  }
  return ids as [string, string, string];
}

async function remove(vm: LabVm, checkpointId: string): Promise<void> {
  const path = `/vms/${vm.id}/checkpoints/${checkpointId}`;
  const { status, json } = await fixture.client.call('DELETE', path);
  expect([status, json]).toEqual([200, { status: 'complete' }]);
  await waitUntil('the removal', async () =>
    vm.checkpointIds().includes(checkpointId) ? undefined : true,
  );
}

async function stateOf(vm: LabVm, checkpointId: string): Promise<unknown> {
  const { checkpoint } = await fixture.client.get(`/vms/${vm.id}/checkpoints`);
  return checkpoint.find(({ id }: Json) => id === checkpointId)?.state;
}

async function dirtyGranules(vm: LabVm, from: string): Promise<number[]> {
  const backup = await readyBackup(fixture.client, vm, { from });
  const offsets = await dirtyOffsets(fixture.client, backup, vm.disk('root').id);
  await endBackup(fixture.client, backup);
  return offsets.map((offsetBytes) => offsetBytes / GRANULE_BYTES);
}

describe('the chain of checkpoints', () => {
  it('is listed from root to leaf with parents', async () => {
    const vm = fixture.addVm();
    const [root, middle, leaf] = await threeBackups(vm);
    const { checkpoint } = await fixture.client.get(`/vms/${vm.id}/checkpoints`);

    expect(
      checkpoint.map((entry: Record<string, unknown>) => [entry['id'], entry['parent_id']]),
    ).toEqual([
      [root, undefined],
      [middle, root],
      [leaf, middle],
    ]);
    expect(checkpoint[0]).toMatchObject({ state: 'created', description: 'test' });
    expect(checkpoint[0].creation_date).toBeTypeOf('number');
    expect(vm.checkpointIds()).toEqual([root, middle, leaf]);
  });

  it('knows no checkpoint of another VM', async () => {
    const vm = fixture.addVm();
    const id = await wholeBackup(fixture.client, vm);
    const other = fixture.addVm({ name: 'other', disks: [] });
    const path = `/vms/${other.id}/checkpoints/${id}/disks`;
    const { status, text } = await fixture.client.call('GET', path);

    expect([status, text]).toEqual([404, '']);
  });
});

describe('removing a checkpoint', () => {
  it('in the middle gives its child and its bits to its parent', async () => {
    const vm = fixture.addVm();
    const [root, middle, leaf] = await threeBackups(vm);
    await remove(vm, middle);

    const { checkpoint } = await fixture.client.get(`/vms/${vm.id}/checkpoints`);
    expect(
      checkpoint.map((entry: Record<string, unknown>) => [entry['id'], entry['parent_id']]),
    ).toEqual([
      [root, undefined],
      [leaf, root],
    ]);
    expect(eventCodes(fixture.lab)).toContain(10797);
    expect(await dirtyGranules(vm, root)).toEqual([2, 4, 6]);
    expect(vm.frozenView(leaf, 'root').read(4 * GRANULE_BYTES, 1)).toEqual(Buffer.from([4]));
  });

  it('at the leaf lets the one before go on recording', async () => {
    const vm = fixture.addVm();
    const [root, middle, leaf] = await threeBackups(vm);
    await remove(vm, leaf);
    vm.disk('root').write(10 * GRANULE_BYTES, Buffer.from([1]));

    expect(await dirtyGranules(vm, middle)).toEqual([4, 6, 10]);
    expect(await dirtyGranules(vm, root)).toEqual([2, 4, 6, 10]);
  });

  it('at the root changes nothing for the others', async () => {
    const vm = fixture.addVm();
    const [root, middle] = await threeBackups(vm);
    await remove(vm, root);
    const { checkpoint } = await fixture.client.get(`/vms/${vm.id}/checkpoints`);

    expect(checkpoint[0]).toMatchObject({ id: middle });
    expect('parent_id' in checkpoint[0]).toBe(false);
    expect(await dirtyGranules(vm, middle)).toEqual([4, 6]);
  });

  it('is refused during a backup', async () => {
    const vm = fixture.addVm();
    const id = await wholeBackup(fixture.client, vm);
    const backup = await readyBackup(fixture.client, vm);
    const { status, json } = await fixture.client.call('DELETE', `/vms/${vm.id}/checkpoints/${id}`);

    expect(status).toBe(409);
    expect(json['detail']).toContain('during a backup operation');
    await endBackup(fixture.client, backup);
  });

  it('that fails leaves it invalid', async () => {
    const vm = fixture.addVm();
    const id = await wholeBackup(fixture.client, vm);
    fixture.lab.behaviour.checkpointRemoveFails = true;
    const path = `/vms/${vm.id}/checkpoints/${id}`;
    const { status, json } = await fixture.client.call('DELETE', path);

    expect([status, json['detail']]).toEqual([400, '[]']);
    expect(await stateOf(vm, id)).toBe('invalid');
    expect(eventCodes(fixture.lab)).toContain(10798);
    fixture.lab.behaviour.checkpointRemoveFails = false;
    await remove(vm, id);
  });
});

describe('bitmaps are lost', () => {
  it('with the detachment of their disk, and empty checkpoints with them', async () => {
    const vm = fixture.addVm();
    const from = await wholeBackup(fixture.client, vm);
    vm.addDisk({ name: 'second', sizeBytes: MIB });
    const later = await wholeBackup(fixture.client, vm, { from });
    vm.detachDisk('root');
    vm.attachDisk('root');

    expect(vm.checkpointIds()).toEqual([later]);
    const { disk } = await fixture.client.get(`/vms/${vm.id}/checkpoints/${later}/disks`);
    expect(disk.map(({ name }: { name: string }) => name)).toEqual(['second']);
    const backup = await readyBackup(fixture.client, vm, { from: later });
    const modes = (await fixture.client.get(`${backup.path}/disks`))['disk'];
    expect(
      Object.fromEntries(modes.map((disk: Json) => [disk['name'], disk['backup_mode']])),
    ).toEqual({
      root: 'full',
      second: 'incremental',
    });
    await endBackup(fixture.client, backup);
  });

  it('with a snapshot that is committed', async () => {
    const vm = fixture.addVm();
    const id = await wholeBackup(fixture.client, vm);
    vm.revertSnapshot('invalid');
    expect(await stateOf(vm, id)).toBe('invalid');
    await remove(vm, id);
    await wholeBackup(fixture.client, vm);
    vm.revertSnapshot('removed');
    expect(vm.checkpointIds()).toEqual([]);
  });
});

/** Creates a transfer that cannot be served, and waits for its end. */
async function failTransfer(vm: LabVm, backup: ReadyBackup): Promise<void> {
  const { id } = await fixture.client.post('/imagetransfers', {
    disk: { id: vm.disk('root').id },
    backup: { id: backup.id },
    direction: 'download',
    format: 'raw',
    inactivity_timeout: 0,
  });
  await fixture.client.waitFor(`/imagetransfers/${id}`, 'phase', 'finished_failure');
}

describe('broken bitmaps', () => {
  it.each([
    ['hybrid', {}],
    ['cold', { compatibility: [4, 6], status: 'down' }],
  ] as const)(
    'fail the transfer of a %s increment, until the next full backup',
    async (_, spec) => {
      const vm = fixture.addVm(spec);
      const broken = await wholeBackup(fixture.client, vm);
      vm.disk('root').breakBitmaps();
      const backup = await readyBackup(fixture.client, vm, { from: broken });
      await failTransfer(vm, backup);
      expect(eventCodes(fixture.lab)).toContain(1068);
      await endBackup(fixture.client, backup);
      expect(fixture.lab.leftovers()).toEqual([]);

      // An increment that starts from broken bitmaps has broken bitmaps too.
      const from = backup.entity['to_checkpoint_id'] as string;
      const again = await readyBackup(fixture.client, vm, { from });
      await failTransfer(vm, again);
      await endBackup(fixture.client, again);

      const fresh = await wholeBackup(fixture.client, vm);
      vm.disk('root').write(4 * GRANULE_BYTES, Buffer.from([1]));
      expect(await dirtyGranules(vm, fresh)).toEqual([4]);
    },
  );

  it('do not matter to a full read', async () => {
    const vm = fixture.addVm();
    await wholeBackup(fixture.client, vm);
    vm.disk('root').breakBitmaps();
    const backup = await readyBackup(fixture.client, vm);
    const transfer = await openDownload(fixture.client, backup, vm.disk('root').id);
    await endTransfer(fixture.client, transfer['id'] as string);
    await endBackup(fixture.client, backup);
  });
});
