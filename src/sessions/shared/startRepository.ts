/** Opens the repository of a backup. A mistyped name starts a new one, so that is told. */
import { sessionMessage } from '../../core/messages.ts';
import { Repository } from '../../repository/repository.ts';
import type { SessionLogOptions } from './sessionLog.ts';

/** @throws as {@link Repository.openOrCreate} */
export async function startRepository(
  root: string,
  { logger, onMessage }: SessionLogOptions,
): Promise<Repository> {
  const isNew = await Repository.isFree(root);
  const repository = await Repository.openOrCreate(root);
  if (isNew) {
    const message = sessionMessage('REPO-530', { repo: root });
    logger?.info({ code: message.code }, message.text);
    onMessage?.(message);
  }
  return repository;
}
