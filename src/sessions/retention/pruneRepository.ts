/**
 * Retention: deletes restore points that a policy does not keep, or merges them when a kept one
 * needs them.
 */
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { toFailure } from '../../core/errors.ts';
import { Repository } from '../../repository/repository.ts';
import { checkPolicy } from '../../repository/retention/retention.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { StoreOptions } from '../../store/store.ts';
import { resolveWorkers } from '../shared/pipelineResources.ts';
import type { PrunedVm, PruneReport } from './pruneReport.ts';
import { VmPrune, type VmPruneOptions } from './pruneVm.ts';
import { placeOptions } from '../shared/startRepository.ts';

export interface PruneOptions extends VmPruneOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VM name or id. @defaultValue every VM */
  readonly vm?: string | undefined;
}

/**
 * Applies a retention policy to VMs of a repository. A point that a kept one needs is merged into
 * it, never deleted. A VM that fails does not stop the others. Its failure is in the report.
 *
 * A point that is being served stays as it is, with the points that it needs. Message REPO-515 or
 * REPO-517 says so. So does a point whose container is locked against deletion (REPO-550).
 *
 * Where the place locks files, the points that stay are locked as long as a rule is sure to keep
 * them.
 *
 * A prune that is stopped or killed leaves a good copy of every kept point. The next prune or
 * session continues.
 *
 * @throws a {@link BackupError}: `USAGE_INVALID_OPTION`, `USAGE_NOT_FOUND`, `REPOSITORY_NOT_FOUND`,
 *   `CANCELLED`
 */
export async function pruneRepository(options: PruneOptions): Promise<PruneReport> {
  checkPolicy(options.keep);
  resolveWorkers(options.workers);
  try {
    await using repository = await Repository.open(options.repository, placeOptions(options));
    const folders = options.vm
      ? [await repository.requireVm(options.vm)]
      : await repository.vmFolders();
    return await pruneFolders(repository, folders, options);
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}

/** {@link pruneRepository} for some VMs of a repository that the caller has opened. */
export async function pruneFolders(
  repository: Repository,
  folders: readonly VmFolder[],
  options: VmPruneOptions,
): Promise<PruneReport> {
  const codecs = await createBlockCodecs();
  const vms: PrunedVm[] = [];
  const { store } = repository;
  for (const folder of folders) {
    vms.push(await new VmPrune(options, folder, codecs, store).prune());
  }
  const { dryRun = false } = options;
  if (!dryRun) await store.keepReserve();
  return { type: 'prune', repository: repository.root, dryRun, vms };
}
