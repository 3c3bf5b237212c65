/** The VMs of a run: those that the selection gives now, compared with those of earlier runs. */
import { UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { patternMatcher } from '../../core/namePattern.ts';
import { didYouMean } from '../../core/nearestNames.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { Vm } from '../../ovirt/engine/entities.ts';
import { listVmsWithDisks } from '../../ovirt/engine/vmList.ts';
import { identifyVms, noteUnused } from '../../sessions/backup/vm/vmSelection.ts';
import { forEachLimited } from '../../sessions/shared/pipelineResources.ts';
import type { JobConfig } from '../jobFile.ts';
import type { VmState } from '../jobState.ts';
import { type NamedVm, vmFinder } from '../vmFinder.ts';
import type { QueuedVm } from './vmQueue.ts';

/** Requests for the disks of VMs at once. */
const PARALLEL_REQUESTS = 4;
/**
 * A job with at least this share of the engine's VMs reads their disks from the list of all VMs,
 * which takes one request for a hundred VMs.
 */
const LISTED_SHARE = 0.25;

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

/** Names of the VMs of `own` that the list does not have. */
function namesMissingIn(list: readonly NamedVm[], own: readonly NamedVm[]): string[] {
  const find = vmFinder(list);
  return own.filter((vm) => !find(vm)).map(({ vmName }) => vmName);
}

/** Names of VMs that have vanished since earlier runs, and of those that are new. Pure. */
export function compareWithPast(
  vms: readonly NamedVm[],
  past: readonly NamedVm[],
): Pick<RunPlan, 'vanishedVms' | 'newVms'> {
  return {
    vanishedVms: namesMissingIn(vms, past),
    newVms: past.length === 0 ? [] : namesMissingIn(past, vms),
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
    const names = { label, vmName: vm?.name ?? label, vmId: vm?.id ?? '' };
    return { ...names, domainIds: [], hostId: vm?.hostId };
  });
  const vms = onlyThese(all, options.only, job.name);
  if (job.limits.perHost !== undefined) noteNoHosts([...selected.known.values()], job, options);
  const compared = compareWithPast(all, options.past);
  const withDomains =
    job.limits.perStorageDomain === undefined
      ? vms
      : await readDomains(engine, vms, { ...options, engineVms: selected.engineVms });
  return { vms: withDomains, ...(options.only ? { vanishedVms: [], newVms: [] } : compared) };
}

/** The engine hides hosts from users without rights on them. Then a limit of hosts does nothing. */
function noteNoHosts(
  vms: readonly Vm[],
  { name: job }: JobConfig,
  { logger, onMessage }: PlanOptions,
): void {
  const running = vms.filter(({ status }) => status === 'up');
  if (running.length === 0 || running.some(({ hostId }) => hostId !== undefined)) return;
  const message = sessionMessage('JOB-650', { job });
  logger.warn({ code: message.code }, message.text);
  onMessage(message);
}

interface DomainOptions extends Pick<PlanOptions, 'signal' | 'logger'> {
  /** VMs of the engine. */
  readonly engineVms: number;
}

/** A VM whose disks cannot be read counts for no domain: its own session tells the reason. */
async function readDomains(
  engine: EngineApi,
  vms: readonly QueuedVm[],
  options: DomainOptions,
): Promise<QueuedVm[]> {
  const { signal, logger, engineVms } = options;
  const isMost = vms.length >= engineVms * LISTED_SHARE;
  const listed = isMost ? await listDomains(engine, options) : new Map<string, string[]>();
  const read: QueuedVm[] = [];
  await forEachLimited(vms, PARALLEL_REQUESTS, async (vm, k) => {
    read[k] = vm;
    if (vm.vmId === '') return;
    try {
      const domainIds = listed.get(vm.vmId) ?? (await domainsOf(engine, vm.vmId));
      read[k] = { ...vm, domainIds };
    } catch (error) {
      signal.throwIfAborted();
      logger.warn({ vmId: vm.vmId, reason: String(error) }, 'its storage domains are unknown');
    }
  });
  return read;
}

/** Domains by the ids of VMs, from the list of all VMs. An engine that gives no disks has none. */
async function listDomains(
  engine: EngineApi,
  { signal, logger }: DomainOptions,
): Promise<Map<string, string[]>> {
  const domains = new Map<string, string[]>();
  try {
    for (const { id, attachments } of await listVmsWithDisks(engine)) {
      const disks = attachments?.map(({ disk }) => disk);
      if (!disks || disks.includes(undefined)) continue;
      domains.set(id, [...new Set(disks.flatMap((disk) => disk?.storageDomainIds ?? []))]);
    }
  } catch (error) {
    signal.throwIfAborted();
    logger.warn({ reason: String(error) }, 'disks are read VM by VM, not from the list of VMs');
  }
  return domains;
}

async function domainsOf(engine: EngineApi, vmId: string): Promise<string[]> {
  const domainIds = new Set<string>();
  for (const { id, disk } of await engine.attachments(vmId)) {
    const known = disk ?? (await engine.disk(id));
    for (const domainId of known?.storageDomainIds ?? []) domainIds.add(domainId);
  }
  return [...domainIds];
}
