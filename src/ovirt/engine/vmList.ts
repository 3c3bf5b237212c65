/** The list of the engine's VMs, page by page: one answer for thousands of VMs is too large. */
import type { EngineApi } from './engineApi.ts';
import type { Vm } from './entities.ts';

/** VMs that one answer may hold. An engine may give fewer. */
const PAGE_VMS = 500;
/** Fewer, because the engine reads each disk for such an answer. */
const PAGE_VMS_WITH_DISKS = 100;

async function listPages(
  query: string,
  read: (search: string) => Promise<readonly Vm[]>,
): Promise<Vm[]> {
  const sorted = /\bsortby\b/i.test(query) ? query : `${query} sortby name asc`.trim();
  const vms = new Map<string, Vm>();
  for (let page = 1; ; page++) {
    const found = await read(`${sorted} page ${page}`);
    const known = vms.size;
    for (const vm of found) vms.set(vm.id, vm);
    if (vms.size === known) return [...vms.values()];
  }
}

/**
 * All VMs that fit a query in the engine's search language, or all VMs.
 *
 * `page N` counts pages of `max` rows, or of fewer where the engine has a lower limit. So the list
 * ends with the first page that has no new VM.
 *
 * @throws EngineFaultError with HTTP status 400 for a query that the engine does not understand
 */
export async function listVms(engine: EngineApi, query = ''): Promise<Vm[]> {
  return await listPages(query, (search) => engine.searchVms(search, PAGE_VMS));
}

/** All VMs, with their disks where the engine follows links. */
export async function listVmsWithDisks(engine: EngineApi): Promise<Vm[]> {
  return await listPages('', (search) => engine.searchVmsWithDisks(search, PAGE_VMS_WITH_DISKS));
}
