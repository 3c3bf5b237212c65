/** Restore points that a page tells of, read from the chain metadata of a repository. */
import { BackupError } from '../core/errors.ts';
import type { Repository } from '../repository/repository.ts';
import type { RestorePoint } from '../repository/restorePoint.ts';
import type { VmFolder } from '../repository/vmFolder.ts';
import type { LastPoint } from './runFacts.ts';

/**
 * Points of a VM, oldest first. Undefined when its metadata cannot be read: a page can do without.
 */
export async function pointsOf(folder: VmFolder): Promise<readonly RestorePoint[] | undefined> {
  try {
    return (await folder.readMetadata())?.points ?? [];
  } catch (error) {
    if (error instanceof BackupError) return undefined;
    throw error;
  }
}

/**
 * The last point of each VM that was made before a time.
 *
 * @param vms - names or ids; those that the repository does not have are left out.
 */
export async function lastPointsOf(
  repository: Repository,
  vms: readonly { readonly vmName: string; readonly vmId: string }[],
  before: Date,
): Promise<LastPoint[]> {
  const folders = vms.length > 0 ? await repository.vmFolders() : [];
  const found: LastPoint[] = [];
  for (const { vmName, vmId } of vms) {
    const folder = await folderOf(folders, vmId === '' ? vmName : vmId);
    const points = folder && (await pointsOf(folder));
    const last = points?.findLast(({ createdAt }) => Date.parse(createdAt) < before.getTime());
    if (last) found.push({ vmName, vmId, lastSuccessAt: last.createdAt });
  }
  return found;
}

async function folderOf(
  folders: readonly VmFolder[],
  nameOrId: string,
): Promise<VmFolder | undefined> {
  const byId = folders.find(({ vmId }) => vmId === nameOrId);
  if (byId) return byId;
  for (const folder of folders) if (await folder.isNamed(nameOrId)) return folder;
  return undefined;
}
