/** Opens the repository of a backup. A mistyped name starts a new one, so that is told. */
import { RepositoryError } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import { Repository } from '../../repository/repository.ts';
import type { StoreOptions } from '../../store/store.ts';
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
  {
    logger,
    onMessage,
    mode,
    store,
  }: SessionLogOptions & {
    readonly mode?: string | undefined;
    readonly store?: StoreOptions | undefined;
  },
): Promise<Repository> {
  let isNew = false;
  const repository = await Repository.openOrCreate(root, store, () => {
    if (mode === 'incremental') throw nothingToBuildOn(root);
    isNew = true;
  });
  if (isNew) {
    const message = sessionMessage('REPO-530', { repo: root });
    logger?.info({ code: message.code }, message.text);
    onMessage?.(message);
  }
  return repository;
}
