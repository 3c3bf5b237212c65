/** Read access to the restore points of a repository. */
import { toFailure } from '../core/errors.ts';
import { Repository } from '../repository/repository.ts';
import { resolveWorkers } from '../sessions/shared/pipelineResources.ts';
import { selectPoint } from '../sessions/shared/selectPoint.ts';
import { OpenPoint } from './openPoint.ts';
import { checkCache, type OpenRepositoryOptions, SharedParts } from './sharedParts.ts';

/** A repository that is open for reading. */
export class OpenRepository {
  readonly #repository: Repository;
  readonly #shared: SharedParts;

  constructor(repository: Repository, shared: SharedParts) {
    this.#repository = repository;
    this.#shared = shared;
  }

  /**
   * Opens a restore point. It is closed with the repository, or before by its own `close`.
   *
   * @param vm - name or id.
   * @param selector - number or id of the point, the beginning of its id, or `latest`.
   * @throws {@link UsageError} `USAGE_NOT_FOUND`; errors of a chain that cannot be opened
   */
  async point(vm: string, selector = 'latest'): Promise<OpenPoint> {
    this.#shared.assertOpen();
    const vmFolder = await this.#repository.requireVm(vm);
    const metadata = await vmFolder.requireMetadata();
    const point = selectPoint(metadata, selector);
    const source = { folder: vmFolder.place, metadata, point, vmFolder };
    return await OpenPoint.open(source, this.#shared);
  }

  /** Closes all points and threads. May be called twice. */
  async close(): Promise<void> {
    try {
      await this.#shared.close();
    } finally {
      await this.#repository.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a repository for reading. No lock is taken, and nothing is written except the lease of a
 * point that is served. A prune at the same time may remove files of a point that is only opened,
 * and reads of it fail then.
 *
 * @throws {@link RepositoryError} `REPOSITORY_NOT_FOUND`; {@link UsageError}
 *   `USAGE_INVALID_OPTION`
 */
export async function openRepository(
  folder: string,
  options: OpenRepositoryOptions = {},
): Promise<OpenRepository> {
  checkCache(options.cacheBytes);
  resolveWorkers(options.workers);
  try {
    const repository = await Repository.open(folder, options.store);
    return new OpenRepository(repository, new SharedParts(options));
  } catch (error) {
    throw toFailure(error);
  }
}
