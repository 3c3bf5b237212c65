/** Rebuilds chain metadata from the containers alone, when a .vbm is lost or old. */
import { UsageError } from '../../core/errors.ts';
import { isAccessFailure } from '../../core/systemErrors.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { clearObsolete } from '../../repository/retention/obsoleteFiles.ts';
import { Repository } from '../../repository/repository.ts';
import { openStore } from '../../store/openStore.ts';
import type { StoreOptions, Undeleted } from '../../store/store.ts';

export interface RescanOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /**
   * First brings back files that somebody deleted or replaced, in a bucket that keeps old versions.
   *
   * @defaultValue false
   */
  readonly undelete?: boolean | undefined;
}

export interface RescannedVm {
  readonly vmName: string;
  readonly vmId: string;
  readonly folder: string;
  readonly pointCount: number;
  /** Containers that are not part of the rebuilt chain, and why. They are not changed. */
  readonly leftOut: readonly { readonly fileName: string; readonly reason: string }[];
}

export interface RescanReport {
  readonly type: 'rescan';
  readonly repository: string;
  readonly vms: readonly RescannedVm[];
  /** With `undelete`: files that were brought back, and those that stay hidden. */
  readonly undeleted?: Undeleted | undefined;
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for a place without old versions */
async function undeleteFiles({ repository, store = {} }: RescanOptions): Promise<Undeleted> {
  const place = await openStore(repository, store);
  try {
    if (place.undelete) return await place.undelete();
  } finally {
    await place.close();
  }
  throw new UsageError('USAGE_INVALID_OPTION', `${repository} is a folder: it keeps no versions`, {
    hint: 'without --undelete, rescan rebuilds chain metadata from the containers that are there',
  });
}

/**
 * Rewrites the .vbm of every VM folder.
 *
 * @throws a {@link BackupError}: `USAGE_INVALID_OPTION`, `REPOSITORY_NOT_FOUND`,
 *   `REPOSITORY_LOCKED`, `REPOSITORY_IO`
 */
export async function rescanRepository(options: RescanOptions): Promise<RescanReport> {
  const undeleted = options.undelete ? await undeleteFiles(options) : undefined;
  await using repository = await Repository.open(options.repository, options.store);
  const codecs = await createBlockCodecs();
  const vms: RescannedVm[] = [];
  for (const folder of await repository.vmFolders()) {
    await using lock = await folder.lock();
    const known = await folder.readMetadata().catch((error: unknown) => {
      if (isAccessFailure(error)) throw error;
    });
    // Otherwise points that a stopped prune has replaced would come back.
    const { leasedFiles } = known ? await clearObsolete(folder, known) : { leasedFiles: [] };
    const { metadata, badFiles } = await folder.scan(codecs, new Set(leasedFiles));
    // Without a readable container only the old metadata has the VM's name.
    const vm = metadata.points.length > 0 ? metadata.vm : (known?.vm ?? metadata.vm);
    await lock.assertHeld();
    const { points } = metadata;
    const lockToken = known?.lockToken;
    await folder.writeMetadata({ vm, points, obsoleteFiles: leasedFiles, lockToken });
    vms.push({
      vmName: vm.name,
      vmId: vm.id,
      folder: folder.folder,
      pointCount: metadata.points.length,
      leftOut: badFiles,
    });
  }
  return { type: 'rescan', repository: repository.root, vms, undeleted };
}
