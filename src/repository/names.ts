/** Names of VMs as people give them, and their safe forms in file names. */
import { UsageError } from '../core/errors.ts';

const MAX_NAME_BYTES = 100;
const CONTROL = /\p{Cc}/u;

/** The form of a VM name that is safe in a file name: what is not printable ASCII or could leave a folder is replaced. */
export function safeFileName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '_');
  return safe.slice(0, MAX_NAME_BYTES) || '_';
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function checkVmName(name: string): void {
  if (name.trim() && !CONTROL.test(name) && Buffer.byteLength(name) <= 255) return;
  throw new UsageError('USAGE_INVALID_OPTION', `VM name ${JSON.stringify(name)} is not usable`, {
    hint: 'use 1 to 255 bytes of printable text',
  });
}
