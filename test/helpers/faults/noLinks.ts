/** A file system without hard links. Scripts use it too: no test framework in here. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** Errors of `link` on file systems without hard links. */
export const NO_LINK_ERRNOS = ['EPERM', 'EOPNOTSUPP', 'EIO'] as const;

/** Runs `work` while every `link` of this process fails with `errno`. */
export async function withoutLinks<T>(errno: string, work: () => Promise<T>): Promise<T> {
  const { link } = fs.promises;
  fs.promises.link = () =>
    Promise.reject(Object.assign(new Error(`${errno}: injected, link`), { code: errno }));
  syncBuiltinESMExports();
  try {
    return await work();
  } finally {
    fs.promises.link = link;
    syncBuiltinESMExports();
  }
}
