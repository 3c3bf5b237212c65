/** What other products and people do on an engine at the same time. */
import type { LabDisk, LabVm } from '../../../lab/src/index.ts';
import { type EngineClient, type Json, waitUntil } from './engineClient.ts';

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
