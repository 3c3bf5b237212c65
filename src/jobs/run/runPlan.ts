/** The VMs of a run: those that the selection gives now, compared with those of earlier runs. */
import { UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { patternMatcher } from '../../core/namePattern.ts';
import { didYouMean } from '../../core/nearestNames.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { identifyVms, noteUnused } from '../../sessions/backup/vm/vmSelection.ts';
import { forEachLimited } from '../../sessions/shared/pipelineResources.ts';
import type { JobConfig } from '../jobFile.ts';
import type { VmState } from '../jobState.ts';
import type { QueuedVm } from './vmQueue.ts';

/** Requests for the disks of VMs at once. */
const PARALLEL_REQUESTS = 4;

export interface RunPlan {
  /** Sorted by name. */
  readonly vms: readonly QueuedVm[];
  readonly vanishedVms: readonly string[];
  readonly newVms: readonly string[];
}

export interface PlanOptions {
  /** VMs of earlier runs. */
  readonly past: readonly VmState[];
  /** Names, ids or patterns: only these VMs of the selection. */
  readonly only: readonly string[] | undefined;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
}

type NamedVm = Pick<QueuedVm, 'vmName' | 'vmId'>;

/** A VM that was renamed is the same one. Where an id is unknown, the name decides. */
function isSame(one: NamedVm, other: NamedVm): boolean {
  if (one.vmId !== '' && other.vmId !== '') return one.vmId === other.vmId;
  return one.vmName === other.vmName;
}

/** Names of VMs that have vanished since earlier runs, and of those that are new. Pure. */
export function compareWithPast(
  vms: readonly NamedVm[],
  past: readonly NamedVm[],
): Pick<RunPlan, 'vanishedVms' | 'newVms'> {
  const isMissingIn = (list: readonly NamedVm[]) => (vm: NamedVm) =>
    !list.some((other) => isSame(vm, other));
  const namesOf = (list: readonly NamedVm[]): string[] => list.map(({ vmName }) => vmName);
  return {
    vanishedVms: namesOf(past.filter(isMissingIn(vms))),
    newVms: past.length === 0 ? [] : namesOf(vms.filter(isMissingIn(past))),
  };
}

/**
 * @throws {@link UsageError} `USAGE_NOT_FOUND` for an entry that fits no VM of the selection
 */
export function onlyThese(
  vms: readonly QueuedVm[],
  only: readonly string[] | undefined,
  jobName: string,
): readonly QueuedVm[] {
  if (only === undefined) return vms;
  const chosen = new Set<QueuedVm>();
  for (const entry of only) {
    const isNamed = patternMatcher(entry);
    const fitting = vms.filter(({ vmId, vmName }) => vmId === entry || isNamed(vmName));
    if (fitting.length === 0) throw notSelected(entry, vms, jobName);
    for (const vm of fitting) chosen.add(vm);
  }
  return vms.filter((vm) => chosen.has(vm));
}

function notSelected(entry: string, vms: readonly QueuedVm[], jobName: string): UsageError {
  const near = didYouMean(
    entry,
    vms.map(({ vmName }) => vmName),
  );
  const text = `"${entry}" fits no VM that job ${jobName} selects`;
  return new UsageError('USAGE_NOT_FOUND', text, {
    hint: `${near}"ovirt-cbt run ${jobName} --dry-run" lists the VMs of the job`,
  });
}

/**
 * Asks the engine for the VMs of a job.
 *
 * @throws as `identifyVms` and {@link onlyThese}
 */
export async function planRun(
  engine: EngineApi,
  job: JobConfig,
  options: PlanOptions,
): Promise<RunPlan> {
  const selected = await identifyVms(engine, job.vms);
  noteUnused(selected, options);
  const all = selected.vms.map((label): QueuedVm => {
    const vm = selected.known.get(label);
    return { label, vmName: vm?.name ?? label, vmId: vm?.id ?? '', domainIds: [] };
  });
  const vms = onlyThese(all, options.only, job.name);
  const compared = compareWithPast(all, options.past);
  const withDomains =
    job.limits.perStorageDomain === undefined ? vms : await readDomains(engine, vms, options);
  return { vms: withDomains, ...(options.only ? { vanishedVms: [], newVms: [] } : compared) };
}

/** A VM whose disks cannot be read counts for no domain: its own session tells the reason. */
async function readDomains(
  engine: EngineApi,
  vms: readonly QueuedVm[],
  { signal, logger }: Pick<PlanOptions, 'signal' | 'logger'>,
): Promise<QueuedVm[]> {
  const read: QueuedVm[] = [];
  await forEachLimited(vms, PARALLEL_REQUESTS, async (vm, k) => {
    read[k] = vm;
    if (vm.vmId === '') return;
    try {
      read[k] = { ...vm, domainIds: await domainsOf(engine, vm.vmId) };
    } catch (error) {
      signal.throwIfAborted();
      logger.warn({ vmId: vm.vmId, reason: String(error) }, 'its storage domains are unknown');
    }
  });
  return read;
}

async function domainsOf(engine: EngineApi, vmId: string): Promise<string[]> {
  const domainIds = new Set<string>();
  for (const { id, disk } of await engine.attachments(vmId)) {
    const known = disk ?? (await engine.disk(id));
    for (const domainId of known?.storageDomainIds ?? []) domainIds.add(domainId);
  }
  return [...domainIds];
}
