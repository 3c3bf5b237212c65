/** Names of VMs, and their safe form for file names. */
import { UsageError } from '../core/errors.ts';

/** Linux takes file names of up to 255 bytes. The rest is for what callers append. */
const MAX_NAME_BYTES = 200;
const CONTROL = /\p{Cc}/u;
/** Characters that no file name can hold, and halves of characters. */
const UNUSABLE = /[/\p{Cc}\p{Cs}]/gu;
const CUT_MARK = '…';

/**
 * Makes the name of a VM or a disk safe for a file name. `/` and control characters become `_`.
 * Leading dots become one `_`, because they could lead out of the folder. Everything else stays.
 *
 * @param maxBytes - most bytes of the result in UTF-8. A longer name is cut after a character.
 */
export function safeFileName(name: string, maxBytes: number = MAX_NAME_BYTES): string {
  const safe = name.replaceAll(UNUSABLE, '_').replace(/^\.+/, '_');
  const { read } = new TextEncoder().encodeInto(safe, new Uint8Array(maxBytes));
  return safe.slice(0, read) || '_';
}

/**
 * File names for disks, in their order. A file system may take names for equal that differ only in
 * case or in the form of an accent. So a disk with such a name gets its id too.
 */
export function diskFileNames(
  disks: readonly { readonly diskId: string; readonly alias: string }[],
): string[] {
  const used = new Set<string>();
  return disks.map(({ diskId, alias }) => {
    const end = `.${safeFileName(diskId)}`;
    let name = safeFileName(alias);
    while (used.has(foldedName(name))) {
      name = `${safeFileName(name, MAX_NAME_BYTES - Buffer.byteLength(end))}${end}`;
    }
    used.add(foldedName(name));
    return name;
  });
}

function foldedName(name: string): string {
  return name.normalize('NFC').toUpperCase().toLowerCase();
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
