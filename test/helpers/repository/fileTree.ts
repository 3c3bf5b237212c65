/** What lies below a folder, in a form that compares. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { sha256OfFile } from '../bytes/images.ts';

/** One line a file or folder: its path, and the hash of what it holds; none when `root` does not exist. */
export function fileTree(root: string): string[] {
  if (!statSync(root, { throwIfNoEntry: false })) return [];
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const full = path.join(root, name);
      return statSync(full).isFile() ? `${name} ${sha256OfFile(full)}` : `${name}/`;
    });
}
