/** Free space of the repository volume. */
import { statfs } from 'node:fs/promises';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { formatBytes } from '../../core/units.ts';
import { guardRepository } from '../../store/folder/durableFile.ts';

type Note = (message: SessionMessage) => void;

/** Bytes that this user can still write to the volume of a folder. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await guardRepository(`read free space of ${folder}`, () =>
    statfs(folder),
  );
  return bavail * bsize;
}

/**
 * Notes REPO-503 when the volume has less free space than `needBytes`. A full may need as much as
 * is allocated on the disks. The size of an increment is not known in advance.
 */
export async function checkSpace(root: string, needBytes: number, note: Note): Promise<void> {
  const freeBytes = await freeBytesOf(root);
  if (freeBytes >= needBytes) return;
  const [free, need] = [formatBytes(freeBytes), formatBytes(needBytes)];
  note(sessionMessage('REPO-503', { free, repo: root, need }));
}
