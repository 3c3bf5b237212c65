/** Free space of the repository. */
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { formatBytes } from '../../core/units.ts';
import type { Store } from '../../store/store.ts';

type Note = (message: SessionMessage) => void;

/**
 * Notes REPO-503 when the repository has less free space than `needBytes`. A full may need as much
 * as is allocated on the disks. The size of an increment is not known in advance.
 */
export async function checkSpace(store: Store, needBytes: number, note: Note): Promise<void> {
  const freeBytes = await store.root.freeBytes();
  if (freeBytes === undefined || freeBytes >= needBytes) return;
  const [free, need] = [formatBytes(freeBytes), formatBytes(needBytes)];
  note(sessionMessage('REPO-503', { free, repo: store.name, need }));
}
