/** What must hold after a run in which much was killed. */
import { expect } from 'vitest';
import type { LabRequest, LabVm } from '../../../lab/src/index.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import { PREFIX } from '../../../src/fleet/keys.ts';
import { contentOf } from '../repository/imageSessions.ts';
import type { RedisServer } from './redisServer.ts';

/** A session keeps the beginning of its correlation id in all its requests. */
const ID_CHARS = 23;

/** Changes of a VM on the engine: who made them, in order. */
function changesOf(requests: readonly LabRequest[], vm: LabVm): LabRequest[] {
  const place = new RegExp(`/vms/${vm.id}/`);
  return requests
    .filter(
      ({ server, method, path }) => server === 'engine' && method !== 'GET' && place.test(path),
    )
    .toSorted((a, b) => a.atMs - b.atMs);
}

/**
 * VMs that two sessions changed at the same time: one of them made a change, then another one, and
 * then the first one again.
 */
export function changedTwiceAtOnce(
  requests: readonly LabRequest[],
  vms: readonly LabVm[],
): string[] {
  return vms.flatMap((vm) => {
    const sessions = changesOf(requests, vm).map(({ correlationId = '' }) =>
      correlationId.slice(0, ID_CHARS),
    );
    const turns = sessions.filter((one, k) => one !== sessions[k - 1]);
    return turns.length === new Set(turns).size ? [] : `${vm.name}: ${turns.join(' ')}`;
  });
}

/** Backups that the engine refused to start, such as while another one of the VM is open. */
export function refusedBackups(requests: readonly LabRequest[]): string[] {
  return requests
    .filter(({ method, path }) => method === 'POST' && /\/vms\/[^/]+\/backups(\?|$)/.test(path))
    .filter(({ status }) => status >= 400)
    .map(({ path, status }) => `${status} ${path}`);
}

/**
 * Every point restores to what the engine froze for it. Disks of a VM whose points name no
 * checkpoint must not have changed.
 *
 * @returns number of points of each VM
 */
export async function expectEveryPoint(
  repository: string,
  vms: readonly LabVm[],
): Promise<number[]> {
  const report = await listRepository({ repository });
  expect(report.failures).toEqual([]);
  const counts: number[] = [];
  for (const vm of vms) {
    const points = report.vms.find(({ vmId }) => vmId === vm.id)?.points ?? [];
    for (const { pointId, checkpointId } of points) {
      const frozen = vm.disks.map((disk) => {
        const view = checkpointId === '' ? disk : vm.frozenView(checkpointId, disk.id);
        return [disk.name, view.digest()];
      });
      const content = await contentOf(repository, vm.id, pointId);
      expect(content, `${vm.name} ${pointId}`).toEqual(Object.fromEntries(frozen));
    }
    counts.push(points.length);
  }
  return counts;
}

/** Keys of the queue that say that something runs or waits. */
export async function openKeys({ client }: RedisServer): Promise<string[]> {
  const keys = await client.keys(`${PREFIX}:*`);
  return keys.filter((key) => /:(lease:.*|planner|worker:.*|active|wait|prioritized)$/.test(key));
}
