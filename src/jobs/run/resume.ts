/** VMs that were done before a run was interrupted. */
import type { Repository } from '../../repository/repository.ts';
import { listSessionReports } from '../../sessions/history/listReports.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import type { VmResult } from '../runReport.ts';
import { hasProblem } from './outcome.ts';
import type { QueuedVm } from './vmQueue.ts';

/** Sessions of a VM that one run may have had, with those that failed. */
const NEWEST = 8;

/** @param doneVms - ids, or names where the id is unknown. */
export function isDone({ vmId, vmName }: QueuedVm, doneVms: ReadonlySet<string>): boolean {
  return doneVms.has(vmId) || (vmId === '' && doneVms.has(vmName));
}

/** Results of these VMs, with the reports that their sessions left in the repository. */
export async function doneResults(
  repository: Repository,
  vms: readonly QueuedVm[],
  startedAt: Date,
): Promise<VmResult[]> {
  const results: VmResult[] = [];
  for (const { vmName, vmId } of vms) {
    const report = await reportOf(repository, vmId || vmName, startedAt);
    const outcome = report?.messages.some(hasProblem) ? 'warning' : 'success';
    results.push({ vmName, vmId, outcome, attempts: 1, ...(report ? { report } : {}) });
  }
  return results;
}

/** Undefined when it cannot be read: the point is there all the same. */
async function reportOf(
  repository: Repository,
  vm: string,
  startedAt: Date,
): Promise<SessionReport | undefined> {
  const options = { vm, type: 'backup', limit: NEWEST } as const;
  const records = await listSessionReports(repository, options).catch(() => []);
  for (const record of records) {
    const isOfRun = Date.parse(record.startedAt) >= startedAt.getTime();
    if (isOfRun && record.type === 'backup' && record.outcome === 'ok') return record.report;
  }
  return undefined;
}
