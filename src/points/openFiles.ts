/** Read access to the last restore point of a chain of files. */
import { toFailure } from '../core/errors.ts';
import type { SessionMessage } from '../core/messages.ts';
import { openFileChain } from '../repository/files/fileChain.ts';
import { resolveWorkers } from '../sessions/shared/pipelineResources.ts';
import { OpenPoint } from './openPoint.ts';
import { checkCache, type OpenRepositoryOptions, SharedParts } from './sharedParts.ts';

export interface OpenFilesOptions extends OpenRepositoryOptions {
  /** Name, folder or id of the VM. @defaultValue the only one in the last file */
  readonly vm?: string | undefined;
  /** Told while the files are opened, such as that nothing proves their order. */
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
}

/**
 * Opens the containers of a chain, which we or others wrote, without a repository. Nothing is
 * written.
 *
 * @param files - paths, oldest first. The point is that of the last one.
 * @returns a point that is closed by its own `close`.
 * @throws {@link UsageError} `USAGE_FILE_ORDER`, `USAGE_NOT_FOUND`, `USAGE_INVALID_OPTION`; errors
 *   of a chain that cannot be opened
 */
export async function openFiles(
  files: readonly string[],
  options: OpenFilesOptions = {},
): Promise<OpenPoint> {
  const { vm, onMessage } = options;
  checkCache(options.cacheBytes);
  resolveWorkers(options.workers);
  try {
    const chain = await openFileChain(files, vm);
    for (const message of chain.messages) onMessage?.(message);
    const shared = new SharedParts(options);
    try {
      return await OpenPoint.ofView(chain.metadata.vm, chain.view, shared);
    } catch (error) {
      await chain.view.close();
      await shared.close();
      throw error;
    }
  } catch (error) {
    throw toFailure(error);
  }
}
