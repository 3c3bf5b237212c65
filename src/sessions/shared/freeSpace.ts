/** Free space of the repository volume. */
import { statfs } from 'node:fs/promises';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { formatBytes } from '../../core/units.ts';
import { guardRepository } from '../../repository/durableFile.ts';

type Note = (message: SessionMessage) => void;

/** Bytes that this user may still write to the volume of a folder. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await guardRepository(`look at ${folder}`, () => statfs(folder));
  return bavail * bsize;
}

/** A full may need as much as is allocated; an increment's size is not known beforehand. */
export async function checkSpace(root: string, needBytes: number, note: Note): Promise<void> {
  const freeBytes = await freeBytesOf(root);
  if (freeBytes >= needBytes) return;
  const [free, need] = [formatBytes(freeBytes), formatBytes(needBytes)];
  note(sessionMessage('REPO-503', { free, repo: root, need }));
}
