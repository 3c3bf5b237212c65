/** Names of VMs, and their safe form for file names. */
import { UsageError } from '../core/errors.ts';

const MAX_NAME_BYTES = 100;
const CONTROL = /\p{Cc}/u;
const CUT_MARK = '…';

/**
 * Makes a VM name safe for a file name. Every character except letters, digits, `.`, `_` and `-`
 * becomes `_`. Leading dots become `_` too, because they could lead out of the folder. At most 100
 * bytes.
 */
export function safeFileName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '_');
  return safe.slice(0, MAX_NAME_BYTES) || '_';
}

/** The first UTF-16 units of a text, at most `maxChars`. No character is cut in two. */
export function cutText(text: string, maxChars: number): string {
  return text.slice(0, maxChars).replace(/[\uD800-\uDBFF]$/, '');
}

/** Like {@link cutText}. A text that was cut ends with `…`. */
export function boundedText(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  return `${cutText(text, maxChars - CUT_MARK.length)}${CUT_MARK}`;
}

/**
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` unless it is 1 to 255 bytes of printable text
 */
export function checkVmName(name: string): void {
  if (name.trim() && !CONTROL.test(name) && Buffer.byteLength(name) <= 255) return;
  throw new UsageError('USAGE_INVALID_OPTION', `VM name ${JSON.stringify(name)} is not usable`, {
    hint: 'use 1 to 255 bytes of printable text',
  });
}
