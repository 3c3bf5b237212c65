/** What a repository holds: VMs, chains, restore points. Reads chain metadata only. */
import { Repository } from '../repository/repository.ts';
import type { RestorePoint } from '../repository/restorePoint.ts';

export interface ListedVm {
  readonly vmName: string;
  readonly vmId: string;
  readonly folder: string;
  readonly points: readonly RestorePoint[];
}

export interface ListReport {
  readonly type: 'list';
  readonly repository: string;
  readonly vms: readonly ListedVm[];
}

/** @throws a {@link BackupError}: `REPOSITORY_NOT_FOUND`, `REPOSITORY_METADATA_INVALID`, `USAGE_NOT_FOUND` */
export async function listRepository(root: string, vm?: string): Promise<ListReport> {
  const repository = await Repository.open(root);
  const folders = vm ? [await repository.requireVm(vm)] : await repository.vmFolders();
  const vms: ListedVm[] = [];
  for (const folder of folders) {
    const metadata = await folder.readMetadata();
    vms.push({
      vmName: metadata?.vm.name ?? folder.safeName,
      vmId: folder.vmId,
      folder: folder.folder,
      points: metadata?.points ?? [],
    });
  }
  return { type: 'list', repository: repository.root, vms };
}
