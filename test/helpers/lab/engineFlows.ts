/** Steps of a backup client, and of others on the same engine, for tests about something else. */
import { expect } from 'vitest';
import type { Lab, LabDisk, LabVm } from '../../../lab/src/index.ts';
import { type EngineClient, type Json, waitUntil } from './engineClient.ts';

export interface BackupWish {
  readonly from?: string;
  readonly query?: string;
  readonly diskNames?: readonly string[];
}

export interface ReadyBackup {
  readonly id: string;
  readonly path: string;
  /** The entity in phase `ready`. */
  readonly entity: Json;
}

export function diskRefs(vm: LabVm, names?: readonly string[]): { disk: { id: string }[] } {
  const disks = vm.disks.filter(({ name }) => names === undefined || names.includes(name));
  return { disk: disks.map(({ id }) => ({ id })) };
}

/** Starts a backup of a VM. @returns the answer of the POST. */
export async function startBackup(
  client: EngineClient,
  vm: LabVm,
  wish: BackupWish = {},
): Promise<Json> {
  return await client.post(`/vms/${vm.id}/backups${wish.query ?? ''}`, {
    description: 'test',
    from_checkpoint_id: wish.from,
    disks: diskRefs(vm, wish.diskNames),
  });
}

export async function readyBackup(
  client: EngineClient,
  vm: LabVm,
  wish: BackupWish = {},
): Promise<ReadyBackup> {
  const { id } = await startBackup(client, vm, wish);
  const path = `/vms/${vm.id}/backups/${id}`;
  return { id: id as string, path, entity: await client.waitFor(path, 'phase', 'ready') };
}

/** Finalizes a backup and waits for its success. */
export async function endBackup(client: EngineClient, backup: ReadyBackup): Promise<Json> {
  await client.post(`${backup.path}/finalize`);
  return await client.waitFor(backup.path, 'phase', 'succeeded');
}

/** A whole backup without any transfer. @returns the checkpoint id. */
export async function wholeBackup(
  client: EngineClient,
  vm: LabVm,
  wish: BackupWish = {},
): Promise<string> {
  const backup = await readyBackup(client, vm, wish);
  await endBackup(client, backup);
  return backup.entity['to_checkpoint_id'] as string;
}

/** Opens a download of a disk of a backup. */
export async function openDownload(
  client: EngineClient,
  backup: ReadyBackup,
  diskId: string,
): Promise<Json> {
  const { id } = await client.post('/imagetransfers', {
    disk: { id: diskId },
    backup: { id: backup.id },
    direction: 'download',
    format: 'raw',
    inactivity_timeout: 3600,
  });
  return await client.waitFor(`/imagetransfers/${id}`, 'phase', 'transferring');
}

export async function endTransfer(client: EngineClient, transferId: string): Promise<void> {
  await client.post(`/imagetransfers/${transferId}/finalize`);
  await client.waitFor(`/imagetransfers/${transferId}`, 'phase', 'finished_success');
}

/** Offsets of the dirty extents of a disk in a backup. */
export async function dirtyOffsets(
  client: EngineClient,
  backup: ReadyBackup,
  diskId: string,
): Promise<number[]> {
  const transfer = await openDownload(client, backup, diskId);
  const answer = await client.raw('GET', `${transfer['transfer_url']}/extents?context=dirty`);
  expect(answer.status, answer.text).toBe(200);
  await endTransfer(client, transfer['id'] as string);
  const extents = answer.json as unknown as { start: number; dirty: boolean }[];
  return extents.filter(({ dirty }) => dirty).map(({ start }) => start);
}

export function eventCodes(lab: Lab): number[] {
  return lab.events().map(({ code }) => code);
}

/** A user's snapshot of a VM. @returns the id of the volume of `disk` in it. */
export async function takeSnapshot(
  client: EngineClient,
  vm: LabVm,
  disk: LabDisk,
): Promise<string> {
  await client.post(`/vms/${vm.id}/snapshots`, {
    description: 'before an upgrade',
    persist_memorystate: false,
  });
  return await waitUntil('volume of the snapshot', async () => {
    const { disk_snapshot: volumes = [] } = await client.get(`/disks/${disk.id}/disksnapshots`);
    const [volume] = volumes as { readonly id: string }[];
    const { status } = await client.get(`/disks/${disk.id}`);
    return status === 'ok' ? volume?.id : undefined;
  });
}

/** Another product reads an old snapshot of a disk. @returns the id of its transfer. */
export async function downloadSnapshot(client: EngineClient, volumeId: string): Promise<string> {
  const { id } = await client.post('/imagetransfers', {
    snapshot: { id: volumeId },
    direction: 'download',
    format: 'raw',
    inactivity_timeout: 3600,
  });
  await client.waitFor(`/imagetransfers/${id}`, 'phase', 'transferring');
  return id as string;
}

export async function phaseOf(client: EngineClient, transferId: string): Promise<Json[string]> {
  return (await client.get(`/imagetransfers/${transferId}`))['phase'];
}
