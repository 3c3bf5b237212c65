/** Events and snapshots of the lab's engine. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { Answer } from '../helpers/lab/engineClient.ts';
import { diskRefs, endBackup, readyBackup } from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const fixture = useLabClient();

async function backupWithId(vm: LabVm, correlationId: string): Promise<string> {
  const { json } = await fixture.client.call(
    'POST',
    `/vms/${vm.id}/backups`,
    { disks: diskRefs(vm) },
    { 'correlation-id': correlationId },
  );
  const path = `/vms/${vm.id}/backups/${json['id']}`;
  await fixture.client.waitFor(path, 'phase', 'ready');
  await fixture.client.post(`${path}/finalize`);
  await fixture.client.waitFor(path, 'phase', 'succeeded');
  return json['id'] as string;
}

interface EventJson {
  readonly id: string;
  readonly code: string;
}

async function events(query: string): Promise<EventJson[]> {
  return ((await fixture.client.get(`/events?${query}`))['event'] ?? []) as EventJson[];
}

describe('events', () => {
  it('of a backup carry its correlation id, newest first', async () => {
    await backupWithId(fixture.addVm(), 'run-1');
    const other = fixture.addVm({ name: 'other', disks: [{ name: 'o', sizeBytes: MIB }] });
    await backupWithId(other, 'run-2');
    const found = await events('search=correlation_id%3Drun-1');

    expect(found.map(({ code }) => code)).toEqual(['10793', '10794', '10796', '10790']);
    expect(found[0]).toMatchObject({
      severity: 'normal',
      origin: 'oVirt',
      correlation_id: 'run-1',
      vm: { id: fixture.lab.vm('vm').id },
      description: expect.stringContaining('VM vm'),
      time: expect.any(Number),
    });
    expect(fixture.lab.events()[0]?.code).toBe(10790);
  });

  it('are limited by max, and start after from', async () => {
    await backupWithId(fixture.addVm(), 'run');
    const all = await events('');
    expect(all.map(({ id }) => id)).toEqual(['4', '3', '2', '1']);
    expect((await events('max=2')).map(({ id }) => id)).toEqual(['4', '3']);
    expect((await events('from=3')).map(({ id }) => id)).toEqual(['4']);
  });
});

async function post(body: object): Promise<Answer> {
  return await fixture.client.call('POST', '/events', body);
}

describe('an external event', () => {
  const whole = { origin: 'test', severity: 'warning', custom_id: 7, description: 'hello' };

  it('is kept with the code of its severity', async () => {
    const { status, json } = await post({ ...whole, vm: { id: fixture.addVm().id } });

    expect(status).toBe(201);
    expect(json).toMatchObject({ code: '9802', origin: 'test', custom_id: '7' });
    expect(fixture.lab.events()).toEqual([{ code: 9802, description: 'hello', origin: 'test' }]);
  });

  it.each([['origin'], ['severity'], ['custom_id'], ['description']])(
    'is refused without %s',
    async (field) => {
      expect((await post({ ...whole, [field]: undefined })).status).toBe(400);
    },
  );

  it('is refused twice, and with the origin of the engine', async () => {
    expect((await post(whole)).status).toBe(201);
    expect((await post(whole)).status).toBe(400);
    expect((await post({ ...whole, custom_id: 8 })).status).toBe(201);
    expect((await post({ ...whole, origin: 'oVirt' })).status).toBe(400);
  });
});

describe('snapshots', () => {
  it('always have the present state among them', async () => {
    const vm = fixture.addVm();
    const { snapshot } = await fixture.client.get(`/vms/${vm.id}/snapshots`);

    expect(snapshot).toEqual([expect.objectContaining({ snapshot_type: 'active' })]);
    const path = `/vms/${vm.id}/snapshots/${snapshot[0].id}`;
    expect((await fixture.client.get(path))['snapshot_type']).toBe('active');
  });

  it('are created locked, list the volumes they keep, and are merged again', async () => {
    const vm = fixture.addVm();
    const id = vm.disk('root').id;
    const volumeId = (await fixture.client.get(`/disks/${id}`))['image_id'];
    const { status, json } = await fixture.client.call('POST', `/vms/${vm.id}/snapshots`, {
      description: 'mine',
      persist_memorystate: false,
    });
    expect([status, json['snapshot_status'], json['persist_memorystate']]).toEqual([
      202,
      'locked',
      'false',
    ]);
    const path = `/vms/${vm.id}/snapshots/${json['id']}`;
    await fixture.client.waitFor(path, 'snapshot_status', 'ok');
    const volumes = await fixture.client.get(`/disks/${id}/disksnapshots`);
    expect(volumes['disk_snapshot']).toEqual([
      expect.objectContaining({ id: volumeId, snapshot: { id: json['id'] } }),
    ]);
    expect((await fixture.client.get(`/disks/${id}`))['image_id']).not.toBe(volumeId);

    expect((await fixture.client.call('DELETE', path)).status).toBe(200);
    await fixture.client.waitGone(path);
    expect((await fixture.client.get(`/disks/${id}`))['image_id']).toBe(volumeId);
  });

  it('need a description, and save memory unless told otherwise', async () => {
    const vm = fixture.addVm();
    const path = `/vms/${vm.id}/snapshots`;

    expect((await fixture.client.call('POST', path, {})).status).toBe(400);
    const made = await fixture.client.post(path, { description: 'with memory' });
    expect(made['persist_memorystate']).toBe('true');
  });

  it('can be neither made nor deleted during a backup', async () => {
    const vm = fixture.addVm();
    const path = `/vms/${vm.id}/snapshots`;
    const { id } = await fixture.client.post(path, { description: 's' });
    await fixture.client.waitFor(`${path}/${id}`, 'snapshot_status', 'ok');
    const backup = await readyBackup(fixture.client, vm);

    for (const [method, url, body] of [
      ['DELETE', `${path}/${id}`, undefined],
      ['DELETE', `${path}/${backup.entity['snapshot'].id}`, undefined],
      ['POST', path, { description: 't' }],
    ] as const) {
      const { status, json } = await fixture.client.call(method, url, body);
      expect([status, json['detail']]).toEqual([
        409,
        expect.stringContaining('during a backup operation'),
      ]);
    }
    await endBackup(fixture.client, backup);
  });

  it('in the middle of a chain leave the others as they are', async () => {
    const vm = fixture.addVm();
    const path = `/vms/${vm.id}/snapshots`;
    const ids: string[] = [];
    for (const description of ['one', 'two']) {
      vm.disk('root').write(0, Buffer.from(description));
      const { id } = await fixture.client.post(path, { description });
      await fixture.client.waitFor(`${path}/${id}`, 'snapshot_status', 'ok');
      ids.push(id as string);
    }
    await fixture.client.call('DELETE', `${path}/${ids[0]}`);
    await fixture.client.waitGone(`${path}/${ids[0]}`);

    const volumes = await fixture.client.get(`/disks/${vm.disk('root').id}/disksnapshots`);
    expect(volumes['disk_snapshot']).toEqual([
      expect.objectContaining({ snapshot: { id: ids[1] } }),
    ]);
  });
});
