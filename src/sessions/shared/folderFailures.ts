/** Works on all VM folders of a repository. A folder that fails does not stop the others. */
import { BackupError, type ErrorCode } from '../../core/errors.ts';
import { isUnreached } from '../../core/systemErrors.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';

/** A VM folder that could not be read. */
export interface FolderFailure {
  readonly folder: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/**
 * Calls `work` for each folder. An error that concerns one folder is returned; others are thrown.
 */
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

/** Errors that concern the content of one folder, not the whole command. */
function isOfFolder(error: BackupError): boolean {
  if (isUnreached(error)) return false;
  return error.code.startsWith('REPOSITORY_') || error.code.startsWith('CHAIN_');
}
