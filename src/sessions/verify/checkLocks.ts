/** Compares recorded locks against deletion with those of the containers. */
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { lockedUntilMs, readLocks } from '../../repository/pointLocks.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { StoreFolder } from '../../store/store.ts';

/**
 * Message REPO-551 for each point whose container is locked for a shorter time than recorded. Locks
 * that have ended do not count.
 *
 * @throws {@link RepositoryError} what the place throws
 */
export async function checkLocks(
  place: StoreFolder,
  vmName: string,
  points: readonly RestorePoint[],
  now: Date,
): Promise<SessionMessage[]> {
  const recorded = points.filter((point) => lockedUntilMs(point) > now.getTime());
  if (recorded.length === 0) return [];
  const real = await readLocks(place, recorded);
  return recorded.flatMap(({ pointId: rp, fileName: file, lockedUntil: wanted = '' }, k) => {
    const found = real[k]?.lockedUntil;
    if (found !== undefined && Date.parse(found) >= Date.parse(wanted)) return [];
    const state = found === undefined ? 'not locked' : `locked until ${found}`;
    return [sessionMessage('REPO-551', { rp, vm: vmName, file, found: state, wanted })];
  });
}
