/** Uploads to the lab, inactivity by policy, and the loss of tickets. */
import { describe, expect, it } from 'vitest';
import { KIB, MIB } from '../../src/core/units.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { Answer, Json } from '../helpers/lab/engineClient.ts';
import {
  endBackup,
  endTransfer,
  eventCodes,
  openDownload,
  readyBackup,
} from '../helpers/lab/engineFlows.ts';
import { useLabClient } from '../helpers/lab/useLab.ts';

const fixture = useLabClient();

async function createTransfer(body: object): Promise<Answer> {
  return await fixture.client.call('POST', '/imagetransfers', {
    direction: 'download',
    format: 'raw',
    inactivity_timeout: 3600,
    ...body,
  });
}

/** A new disk with an upload on its way. */
async function createUpload(fields: object = {}, disk: object = {}): Promise<Json> {
  const made = await fixture.client.post('/disks', {
    format: 'cow',
    provisioned_size: MIB,
    storage_domains: { storage_domain: [{ name: 'data' }] },
    ...disk,
  });
  await fixture.client.waitFor(`/disks/${made['id']}`, 'status', 'ok');
  const { id } = await fixture.client.post('/imagetransfers', {
    disk: { id: made['id'] },
    direction: 'upload',
    format: 'raw',
    inactivity_timeout: 3600,
    ...fields,
  });
  return { path: `/imagetransfers/${id}`, diskId: made['id'], id };
}

async function openUpload(fields: object = {}, disk: object = {}): Promise<Json> {
  const upload = await createUpload(fields, disk);
  const transfer = await fixture.client.waitFor(upload['path'], 'phase', 'transferring');
  return { ...upload, url: transfer['transfer_url'] };
}

async function put(url: string, offsetBytes: number, bytes: Buffer): Promise<number> {
  const range = `bytes ${offsetBytes}-${offsetBytes + bytes.length - 1}/*`;
  const { status } = await fixture.client.raw('PUT', `${url}?flush=n`, {
    headers: { 'content-range': range },
    body: bytes,
  });
  return status;
}

const rootOf = (vm: LabVm): { disk: { id: string } } => ({ disk: { id: vm.disk('root').id } });

describe('an upload', () => {
  it('fills a disk and unlocks it', async () => {
    const upload = await openUpload();
    const bytes = Buffer.alloc(64 * KIB, 'up');
    expect(await put(upload['url'], 128 * KIB, bytes)).toBe(200);
    expect((await fixture.client.get(`/disks/${upload['diskId']}`))['status']).toBe('locked');
    await endTransfer(fixture.client, upload['id'] as string);

    expect((await fixture.client.get(`/disks/${upload['diskId']}`))['status']).toBe('ok');
    expect(fixture.lab.disk(upload['diskId'] as string).read(128 * KIB, 64 * KIB)).toEqual(bytes);
    expect(eventCodes(fixture.lab)).toContain(1032);
    expect(fixture.lab.leftovers()).toEqual([]);
  });

  it('that is cancelled takes its disk along', async () => {
    const upload = await openUpload();
    await fixture.client.post(`${upload['path']}/cancel`);
    await fixture.client.waitFor(upload['path'], 'phase', 'finished_failure');

    expect((await fixture.client.call('GET', `/disks/${upload['diskId']}`)).status).toBe(404);
    expect(fixture.lab.leftovers()).toEqual([]);
  });

  it('whose verification fails takes its disk along', async () => {
    fixture.lab.behaviour.uploadVerifyFails = true;
    const upload = await openUpload();
    await fixture.client.post(`${upload['path']}/finalize`);
    await fixture.client.waitFor(upload['path'], 'phase', 'finished_failure');

    expect((await fixture.client.call('GET', `/disks/${upload['diskId']}`)).status).toBe(404);
    expect(eventCodes(fixture.lab)).toContain(1034);
  });

  it('pauses and resumes with a new ticket', async () => {
    const upload = await openUpload();
    fixture.lab.faults.add({ phase: 'transferring', nth: 1 }, { flipPhase: 'paused_user' });
    const paused = await fixture.client.get(upload['path']);
    expect(paused['phase']).toBe('paused_user');
    expect('transfer_url' in paused).toBe(false);
    await fixture.client.post(`${upload['path']}/resume`);
    const resumed = await fixture.client.waitFor(upload['path'], 'phase', 'transferring');

    expect(resumed['transfer_url']).not.toBe(upload['url']);
    expect(await put(resumed['transfer_url'], 0, Buffer.from('on'))).toBe(200);
    expect(await put(upload['url'], 0, Buffer.from('off'))).toBe(403);
    await endTransfer(fixture.client, upload['id'] as string);
  });

  it('is paused by the system when its thin volume is full', async () => {
    const upload = await openUpload(
      {},
      { storage_domains: { storage_domain: [{ name: 'block' }] }, initial_size: 128 * KIB },
    );
    expect(await put(upload['url'], 0, Buffer.alloc(128 * KIB, 1))).toBe(200);
    expect(await put(upload['url'], 128 * KIB, Buffer.alloc(64 * KIB, 1))).toBe(500);

    await fixture.client.waitFor(upload['path'], 'phase', 'paused_system');
  });

  it('drops the bitmaps of the disk that it overwrites', async () => {
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    await endBackup(fixture.client, backup);
    const disks = `/vms/${vm.id}/checkpoints/${vm.checkpointIds()[0]}/disks`;
    expect((await fixture.client.get(disks))['disk']).toHaveLength(1);
    vm.status = 'down';
    const { json } = await createTransfer({ ...rootOf(vm), direction: 'upload' });
    await fixture.client.waitFor(`/imagetransfers/${json['id']}`, 'phase', 'transferring');
    await endTransfer(fixture.client, json['id'] as string);

    expect(await fixture.client.get(disks)).toEqual({});
  });
});

describe('inactivity', () => {
  it.each([
    ['legacy', 'download', 'finished_failure', 1072],
    ['cancel', 'download', 'finished_failure', 1076],
    ['pause', 'download', 'paused_system', 1077],
  ])('with policy %s of a %s ends in %s', async (policy, _, phase, code) => {
    const vm = fixture.addVm({ status: 'down' });
    const { json } = await createTransfer({
      ...rootOf(vm),
      timeout_policy: policy,
      inactivity_timeout: 5,
    });
    await fixture.client.waitFor(`/imagetransfers/${json['id']}`, 'phase', phase);

    expect(eventCodes(fixture.lab)).toContain(code);
  });

  it.each([
    ['legacy', 1071],
    ['pause', 1077],
  ])('with policy %s pauses an upload', async (policy, code) => {
    const upload = await createUpload({ timeout_policy: policy, inactivity_timeout: 5 });
    await fixture.client.waitFor(upload['path'], 'phase', 'paused_system');

    expect(eventCodes(fixture.lab)).toContain(code);
  });

  it('with policy cancel deletes the disk of an upload', async () => {
    const upload = await createUpload({ timeout_policy: 'cancel', inactivity_timeout: 5 });
    await fixture.client.waitFor(upload['path'], 'phase', 'finished_failure');

    expect((await fixture.client.call('GET', `/disks/${upload['diskId']}`)).status).toBe(404);
  });
});

describe('the loss of a ticket', () => {
  it('ends a download and pauses an upload, with event 1065', async () => {
    const vm = fixture.addVm();
    const backup = await readyBackup(fixture.client, vm);
    const download = await openDownload(fixture.client, backup, vm.disk('root').id);
    const upload = await openUpload();
    await fixture.lab.restartImageio();
    const path = `/imagetransfers/${download['id']}`;

    await fixture.client.waitFor(path, 'phase', 'finished_failure');
    await fixture.client.waitFor(upload['path'], 'phase', 'paused_system');
    expect(eventCodes(fixture.lab).filter((code) => code === 1065)).toHaveLength(2);
    const again = await openDownload(fixture.client, backup, vm.disk('root').id);
    await endTransfer(fixture.client, again['id'] as string);
    await endBackup(fixture.client, backup);
  });
});
