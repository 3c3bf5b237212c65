/** Which files may hold secrets. */

/** Rights of group and others. */
const OTHERS = 0o077;
/** Rights to write and to execute, of anybody. */
const NOT_READ = 0o333;

/**
 * True for a file that may hold a secret. Either group and others have no right at all, as ssh asks
 * of keys. Or it is a secret that was mounted: nobody may write to it, and it belongs to root or to
 * the user of this process. Containers (0444, 0440) and LoadCredential (0440) mount such files, and
 * their owner decided who may read them.
 *
 * @param userId - of this process; undefined where the system has none.
 */
export function isPrivateFile(
  { mode, uid }: { readonly mode: number; readonly uid: number },
  userId: number | undefined,
): boolean {
  if ((mode & OTHERS) === 0) return true;
  const isReadOnly = (mode & NOT_READ) === 0;
  return isReadOnly && (uid === 0 || uid === userId);
}
