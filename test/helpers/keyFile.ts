/** Key files of tests. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';

/**
 * Writes a generated key. A passphrase takes half a second of CPU time for each repository that it
 * opens, so only tests of passphrases have one.
 */
export function writeKeyFile(file: string): void {
  const secret = createHash('sha256').update(file).digest('base64url');
  writeFileSync(file, `ovirt-cbt-key-1:${secret}\n`, { mode: 0o600 });
}
