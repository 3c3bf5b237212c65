/** What a run does after its sessions: prune, verify and copy the VMs of the job. */
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { Repository } from '../../repository/repository.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { copyFolders } from '../../sessions/copy/copyPoints.ts';
import type { CopyReport } from '../../sessions/copy/copyReport.ts';
import { pruneFolders } from '../../sessions/retention/pruneRepository.ts';
import type { PruneReport } from '../../sessions/retention/pruneReport.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import { type VerifyReport, verifyFolders } from '../../sessions/verify/verifyRepository.ts';
import { storeOptionsOf } from '../config/connectionSettings.ts';
import type { JobConfig } from '../jobFile.ts';
import type { VerifySummary } from '../runReport.ts';
import type { QueuedVm } from './vmQueue.ts';

export interface StepContext {
  readonly repository: Repository;
  /** Folders of the VMs of the run. */
  readonly folders: readonly VmFolder[];
  readonly job: JobConfig;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
}

/** A step with its result, or undefined when the job does not have it. */
export interface Steps {
  readonly prune?: PruneReport | undefined;
  readonly verify?: VerifySummary | undefined;
  readonly copy?: CopyReport | undefined;
}

type SessionTools = Pick<StepContext, 'signal' | 'logger' | 'onMessage' | 'onProgress'> & {
  readonly workers: number | undefined;
};

function toolsOf({ job, signal, logger, onMessage, onProgress }: StepContext): SessionTools {
  return { signal, logger, onMessage, onProgress, workers: job.backup.workers };
}

/** Folders of VMs that have one. */
export async function foldersOf(
  repository: Repository,
  vms: readonly Pick<QueuedVm, 'vmId'>[],
): Promise<VmFolder[]> {
  const byId = new Map<string, VmFolder>();
  // Several folders of one VM: the first by name, as everywhere.
  for (const folder of (await repository.vmFolders()).toReversed()) byId.set(folder.vmId, folder);
  return vms.flatMap(({ vmId }) => byId.get(vmId) ?? []);
}

/** Prunes also VMs whose session failed, so that locks of their points are renewed. */
export async function pruneStep(
  context: StepContext,
  dryRun = false,
): Promise<PruneReport | undefined> {
  const { repository, folders, job } = context;
  if (!job.keep) return undefined;
  return await pruneFolders(repository, folders, { ...toolsOf(context), keep: job.keep, dryRun });
}

export async function verifyStep(context: StepContext): Promise<VerifySummary | undefined> {
  const { repository, folders, job } = context;
  const { verifySampleRatio: sampleRatio } = job;
  if (sampleRatio === undefined) return undefined;
  const report = await verifyFolders(repository, folders, { ...toolsOf(context), sampleRatio });
  return summaryOf(report);
}

function summaryOf(report: VerifyReport): VerifySummary {
  const { outcome, damageCount, durationSeconds, failures, files, points, messages } = report;
  const damaged = points.filter((point) => point.isSelected && point.isDamaged);
  return {
    outcome,
    damageCount,
    damagedVms: [...new Set(damaged.map(({ vmName }) => vmName))],
    readBytes: files.reduce((sum, { storedBytesRead }) => sum + storedBytesRead, 0),
    durationSeconds,
    failures,
    messages,
  };
}

export async function copyStep(context: StepContext): Promise<CopyReport | undefined> {
  const { repository, folders, job, signal, onStatus } = context;
  if (!job.copyTo) return undefined;
  const toStore = storeOptionsOf(job.copyTo, { signal, onWait: onStatus });
  const place = { to: job.copyTo.place, toStore };
  return await copyFolders(repository, folders, { ...toolsOf(context), ...place });
}
