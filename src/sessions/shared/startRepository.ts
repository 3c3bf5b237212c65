/** Opens the repository of a backup. A mistyped name starts a new one, so that is told. */
import { RepositoryError } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import { Repository } from '../../repository/repository.ts';
import type { SessionLogOptions } from './sessionLog.ts';

/** The error of mode `incremental` when there is no restore point. */
export function nothingToBuildOn(place: string): RepositoryError {
  return new RepositoryError('CHAIN_PARENT_MISSING', `${place}: no restore point yet`, {
    hint: 'run the first session with --mode auto or --mode full',
  });
}

/**
 * @throws as {@link Repository.openOrCreate}; {@link RepositoryError} `CHAIN_PARENT_MISSING` for
 *   mode `incremental` in a new folder, which then stays as it is
 */
export async function startRepository(
  root: string,
  { logger, onMessage, mode }: SessionLogOptions & { readonly mode?: string | undefined },
): Promise<Repository> {
  const isNew = await Repository.isFree(root);
  if (isNew && mode === 'incremental') throw nothingToBuildOn(root);
  const repository = await Repository.openOrCreate(root, isNew);
  if (isNew) {
    const message = sessionMessage('REPO-530', { repo: root });
    logger?.info({ code: message.code }, message.text);
    onMessage?.(message);
  }
  return repository;
}
