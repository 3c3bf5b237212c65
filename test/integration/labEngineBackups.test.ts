/** Backups of the lab's engine: fields of the entity, checkpoints, finalize. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import {
  endBackup,
  endTransfer,
  openDownload,
  readyBackup,
  startBackup,
  wholeBackup,
} from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const LEGACY = { compatibility: [4, 6] } as const;
const COLD = { ...LEGACY, status: 'down' } as const;

const fixture = useLabClient();

describe('a backup', () => {
  it.each([
    ['hybrid', {}],
    ['live', LEGACY],
    ['cold', COLD],
  ])('of the %s kind leaves nothing behind', async (_, spec) => {
    const vm = fixture.addVm(spec);
    await wholeBackup(fixture.client, vm);

    expect(fixture.lab.leftovers()).toEqual([]);
    expect(vm.checkpointIds()).toHaveLength(1);
  });

  it('of the hybrid kind goes on although its VM is stopped', async () => {
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    vm.status = 'down';

    expect(await endBackup(fixture.client, backup)).toMatchObject({ phase: 'succeeded' });
  });
});

describe('the entity', () => {
  it('of a hybrid backup answers with its snapshot and hides disks and checkpoint until ready', async () => {
    fixture.lab.behaviour.backupHangs = true;
    const vm = fixture.addVm();
    const started = await startBackup(fixture.client, vm);
    const path = `/vms/${vm.id}/backups/${started['id']}`;

    expect(started).toMatchObject({ phase: 'starting', description: 'test', vm: { id: vm.id } });
    expect(started['snapshot'].id).toBeTypeOf('string');
    expect(started['to_checkpoint_id']).toBeUndefined();
    expect(started['actions'].link[0].rel).toBe('finalize');
    expect(await fixture.client.get(`${path}/disks`)).toEqual({});
    const snapshot = `/vms/${vm.id}/snapshots/${started['snapshot'].id}`;
    expect(await fixture.client.get(snapshot)).toMatchObject({
      description: 'Auto-generated for Backup VM',
      snapshot_status: 'locked',
    });

    fixture.lab.behaviour.backupHangs = false;
    const ready = await fixture.client.waitFor(path, 'phase', 'ready');
    expect(ready['to_checkpoint_id']).toBeTypeOf('string');
    expect(ready['host']).toBeUndefined();
    const { disk } = await fixture.client.get(`${path}/disks`);
    expect(disk).toEqual([expect.objectContaining({ backup_mode: 'full', status: 'ok' })]);
    expect((await fixture.client.get(snapshot))['snapshot_status']).toBe('ok');
    await fixture.client.post(`${path}/finalize`);
    await fixture.client.waitFor(path, 'phase', 'succeeded');
    expect((await fixture.client.call('GET', snapshot)).status).toBe(404);
  });

  it('of a live backup names its host, shows its disks at once and locks them', async () => {
    const vm = fixture.addVm(LEGACY);
    const started = await startBackup(fixture.client, vm);
    const path = `/vms/${vm.id}/backups/${started['id']}`;

    expect(started).toMatchObject({ phase: 'initializing', host: { id: expect.any(String) } });
    const { disk } = await fixture.client.get(`${path}/disks`);
    expect(disk[0]).toMatchObject({ status: 'locked' });
    await fixture.client.waitFor(path, 'phase', 'ready');
    await fixture.client.post(`${path}/finalize`);
    await fixture.client.waitFor(path, 'phase', 'succeeded');
    expect((await fixture.client.get(`/disks/${disk[0].id}`))['status']).toBe('ok');
  });

  it('can be forced into the legacy kind', async () => {
    const started = await startBackup(fixture.client, fixture.addVm(), { query: '?legacy=true' });

    expect(started['snapshot']).toBeUndefined();
    expect(started['host']).toBeDefined();
  });
});

describe('checkpoints of a backup', () => {
  const RAW = { disks: [{ name: 'raw', sizeBytes: MIB, format: 'raw' }] } as const;

  it('exist without disks for a hybrid backup of raw disks, and not at all for a legacy one', async () => {
    const hybrid = fixture.addVm(RAW);
    const checkpoint = await wholeBackup(fixture.client, hybrid);
    expect(await fixture.client.get(`/vms/${hybrid.id}/checkpoints/${checkpoint}/disks`)).toEqual(
      {},
    );

    const legacy = fixture.addVm({ ...RAW, ...LEGACY });
    expect(await wholeBackup(fixture.client, legacy)).toBeUndefined();
    expect(await fixture.client.get(`/vms/${legacy.id}/checkpoints`)).toEqual({});
  });

  it('take in tracked disks only; the others are read in full in an increment', async () => {
    const vm = fixture.addVm({
      disks: [
        { name: 'mixed_cow', sizeBytes: MIB },
        { name: 'mixed_v2', sizeBytes: MIB, qcowVersion: 'qcow2_v2' },
        { name: 'mixed_raw', sizeBytes: MIB, format: 'raw' },
      ],
    });
    const from = await wholeBackup(fixture.client, vm);
    const added = vm.addDisk({ name: 'mixed_new', sizeBytes: MIB });
    const backup = await readyBackup(fixture.client, vm, { from });
    const { disk } = await fixture.client.get(`${backup.path}/disks`);
    const modes = disk.map(({ name, backup_mode }: Record<string, string>) => [name, backup_mode]);

    expect(modes).toEqual([
      ['mixed_cow', 'incremental'],
      ['mixed_v2', 'full'],
      ['mixed_raw', 'full'],
      ['mixed_new', 'full'],
    ]);
    await endBackup(fixture.client, backup);
    const to = backup.entity['to_checkpoint_id'];
    const tracked = await fixture.client.get(`/vms/${vm.id}/checkpoints/${to}/disks`);
    expect(tracked['disk'].map(({ id }: { id: string }) => id)).toEqual([
      vm.disk('mixed_cow').id,
      added.id,
    ]);
    // The raw disk had a qcow2 overlay while the backup ran.
    expect((await fixture.client.get(`/disks/${vm.disk('mixed_raw').id}`))['format']).toBe('raw');
  });
});

describe('finalize', () => {
  it('waits for open transfers', async () => {
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    const transfer = await openDownload(fixture.client, backup, vm.disks[0]?.id ?? '');
    const { status, json } = await fixture.client.call('POST', `${backup.path}/finalize`, {});
    expect(status).toBe(409);
    expect(json['detail']).toContain('There is an active image transfer for VM backup');

    await endTransfer(fixture.client, transfer['id'] as string);
    await endBackup(fixture.client, backup);
  });

  it('of an unknown backup is an empty 404', async () => {
    const vm = fixture.addVm();
    const { status, text } = await fixture.client.call(
      'POST',
      `/vms/${vm.id}/backups/${vm.id}/finalize`,
      {},
    );

    expect([status, text]).toEqual([404, '']);
  });
});
