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

/** Options of a session that concern the place of its repository. */
export interface PlaceOptions {
  readonly store?: StoreOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
}

/** The signal of a session stops waits for its repository, and its texts tell of them. */
export function placeOptions({ store = {}, signal, onStatus }: PlaceOptions): StoreOptions {
  return { ...store, signal: store.signal ?? signal, onWait: store.onWait ?? onStatus };
}

interface StartOptions {
  readonly mode?: string | undefined;
  /** Called before a new repository is made. What it throws is thrown, and nothing is made then. */
  readonly beforeMake?: (() => void) | undefined;
}

/**
 * @throws as {@link Repository.openOrCreate}; {@link RepositoryError} `CHAIN_PARENT_MISSING` for
 *   mode `incremental` in a new folder, which then stays as it is
 */
export async function startRepository(
  root: string,
  options: SessionLogOptions & PlaceOptions & StartOptions,
): Promise<Repository> {
  const { logger, onMessage, mode, beforeMake } = options;
  let isNew = false;
  const repository = await Repository.openOrCreate(root, placeOptions(options), () => {
    beforeMake?.();
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
