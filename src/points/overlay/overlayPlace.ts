/** Where the overlay of a disk lies: a folder of its own, never inside a repository. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { toOutputError, UsageError } from '../../core/errors.ts';
import { exists } from '../../store/folder/durableFile.ts';
import { safeFileName } from '../../repository/names.ts';
import { isInRepository } from '../../repository/repository.ts';

/** Most bytes of the name of a folder. */
const MAX_NAME_BYTES = 200;

export interface OverlayPlace {
  /** Folder of one overlay. */
  readonly folder: string;
  /** The folder that the user named did not exist, so it may be deleted again. */
  readonly isParentNew: boolean;
}

/**
 * @param parent - the folder that the user named, for the overlays of all disks.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a folder inside a repository; {@link
 *   OutputError} `OUTPUT_IO` for one that cannot be read
 */
export async function overlayPlace(parent: string, diskId: string): Promise<OverlayPlace> {
  const absolute = path.resolve(parent);
  try {
    const isParentNew = !(await exists(absolute));
    if (await isInRepository(await realPlace(absolute))) throw insideError(absolute);
    return { folder: path.join(absolute, safeFileName(diskId, MAX_NAME_BYTES)), isParentNew };
  } catch (error) {
    throw toOutputError(absolute, error);
  }
}

function insideError(folder: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `${folder} lies inside a repository`, {
    hint: 'name a folder outside: an export never writes into a repository',
  });
}

/** The real path of a folder that may not exist yet. */
async function realPlace(folder: string): Promise<string> {
  if (await exists(folder)) return await realpath(folder);
  return path.join(await realPlace(path.dirname(folder)), path.basename(folder));
}
