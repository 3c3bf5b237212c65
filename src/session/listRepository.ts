/** What a repository holds: VMs, chains, restore points. Reads chain metadata only. */
import { BackupError, type ErrorCode } from '../core/errors.ts';
import { Repository } from '../repository/repository.ts';
import type { RestorePoint } from '../repository/restorePoint.ts';
import type { VmFolder } from '../repository/vmFolder.ts';

export interface ListedVm {
  readonly vmName: string;
  readonly vmId: string;
  readonly folder: string;
  readonly points: readonly RestorePoint[];
}

/** A VM folder that could not be read; the others are reported all the same. */
export interface FolderFailure {
  readonly folder: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export interface ListReport {
  readonly type: 'list';
  readonly repository: string;
  readonly vms: readonly ListedVm[];
  readonly failures: readonly FolderFailure[];
}

/** Runs `work` on each folder; what fails is returned instead of thrown, unless it is a cancellation. */
export async function forEachFolder(
  folders: readonly VmFolder[],
  work: (folder: VmFolder) => Promise<void>,
): Promise<FolderFailure[]> {
  const failures: FolderFailure[] = [];
  for (const folder of folders) {
    try {
      await work(folder);
    } catch (error) {
      if (!(error instanceof BackupError) || !isOfFolder(error)) throw error;
      const { code, message, hint } = error;
      failures.push({ folder: folder.folder, code, message, hint });
    }
  }
  return failures;
}

/** Errors that say something about one folder's content, not about the command. */
function isOfFolder(error: BackupError): boolean {
  return error.code.startsWith('REPOSITORY_') || error.code.startsWith('CHAIN_');
}

/** @throws a {@link BackupError}: `REPOSITORY_NOT_FOUND`, `USAGE_NOT_FOUND` */
export async function listRepository(root: string, vm?: string): Promise<ListReport> {
  const repository = await Repository.open(root);
  const folders = vm ? [await repository.requireVm(vm)] : await repository.vmFolders();
  const vms: ListedVm[] = [];
  const failures = await forEachFolder(folders, async (folder) => {
    const metadata = await folder.readMetadata();
    vms.push({
      vmName: metadata?.vm.name ?? folder.safeName,
      vmId: folder.vmId,
      folder: folder.folder,
      points: metadata?.points ?? [],
    });
  });
  return { type: 'list', repository: repository.root, vms, failures };
}
