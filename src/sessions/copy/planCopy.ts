/** Tells what a copy between repositories would do. It changes and locks nothing. */
import { Repository } from '../../repository/repository.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { StoreOptions } from '../../store/store.ts';
import { type FolderFailure, forEachFolder } from '../shared/folderFailures.ts';

export interface PlannedVmCopy {
  readonly vmName: string;
  readonly vmId: string;
  /** Points that the target does not hold. */
  readonly missing: readonly Pick<RestorePoint, 'pointId' | 'number' | 'type' | 'fileBytes'>[];
  readonly presentCount: number;
}

export interface CopyPlan {
  readonly to: string;
  /** True when the target is no repository yet. */
  readonly isNew: boolean;
  readonly vms: readonly PlannedVmCopy[];
  readonly failures: readonly FolderFailure[];
}

/**
 * @param folders - VMs of the repository that would be copied.
 * @throws a {@link BackupError} when the target cannot be opened
 */
export async function planCopy(
  folders: readonly VmFolder[],
  to: string,
  toStore: StoreOptions,
): Promise<CopyPlan> {
  await using target = await Repository.openIfMade(to, toStore);
  const vms: PlannedVmCopy[] = [];
  const failures = await forEachFolder(folders, async (folder) => {
    const { vm, points } = await folder.requireMetadata();
    const atTarget = await (await target?.vmById(vm.id))?.readMetadata();
    const known = new Set(atTarget?.points.map(({ pointId }) => pointId));
    const missing = points
      .filter(({ pointId }) => !known.has(pointId))
      .map(({ pointId, number, type, fileBytes }) => ({ pointId, number, type, fileBytes }));
    const presentCount = points.length - missing.length;
    vms.push({ vmName: vm.name, vmId: vm.id, missing, presentCount });
  });
  return { to, isNew: target === undefined, vms, failures };
}
