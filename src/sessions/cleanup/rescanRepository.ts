/** Rebuilds chain metadata from the containers alone, when a .vbm is lost or old. */
import { isAccessFailure } from '../../core/systemErrors.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { clearObsolete } from '../../repository/retention/obsoleteFiles.ts';
import { Repository } from '../../repository/repository.ts';
import type { StoreOptions } from '../../store/store.ts';

export interface RescanOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
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
}

/**
 * Rewrites the .vbm of every VM folder.
 *
 * @throws a {@link BackupError}: `REPOSITORY_NOT_FOUND`, `REPOSITORY_LOCKED`, `REPOSITORY_IO`
 */
export async function rescanRepository(options: RescanOptions): Promise<RescanReport> {
  await using repository = await Repository.open(options.repository, options.store);
  const codecs = await createBlockCodecs();
  const vms: RescannedVm[] = [];
  for (const folder of await repository.vmFolders()) {
    await using lock = await folder.place.lock();
    const known = await folder.readMetadata().catch((error: unknown) => {
      if (isAccessFailure(error)) throw error;
    });
    // Otherwise points that a stopped prune has replaced would come back.
    const { leasedFiles } = known ? await clearObsolete(folder, known) : { leasedFiles: [] };
    const { metadata, badFiles } = await folder.scan(codecs, new Set(leasedFiles));
    // Without a readable container only the old metadata has the VM's name.
    const vm = metadata.points.length > 0 ? metadata.vm : (known?.vm ?? metadata.vm);
    await lock.assertHeld();
    await folder.writeMetadata({ vm, points: metadata.points, obsoleteFiles: leasedFiles });
    vms.push({
      vmName: vm.name,
      vmId: vm.id,
      folder: folder.folder,
      pointCount: metadata.points.length,
      leftOut: badFiles,
    });
  }
  return { type: 'rescan', repository: repository.root, vms };
}
