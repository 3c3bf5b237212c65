/**
 * The language of guestfish: how arguments are written, and what its structs look like. Texts hold
 * the bytes of names as latin1, because names in a guest need not be UTF-8.
 */

/** guestfish reads lines into a buffer of 8192 bytes. A longer line would become two commands. */
export const MAX_LINE_BYTES = 8000;

/** An argument in double quotes. Everything that could end it is escaped. */
export function quoted(bytes: string): string {
  const escaped = bytes.replaceAll(
    /[\\"\p{Cc}]/gu,
    (character) => String.raw`\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `"${escaped}"`;
}

/**
 * Names as one argument that is a list.
 *
 * @param option - name of an optional argument.
 */
export function quotedList(names: readonly string[], option?: string): string {
  const prefix = option === undefined ? '' : `${option}:`;
  return quoted(prefix + names.map(listItem).join(' '));
}

function listItem(name: string): string {
  return `'${name.replaceAll("'", String.raw`'\''`)}'`;
}

/** Splits names into lists of at most `maxBytes` each as arguments. */
export function* listsOf(names: readonly string[], maxBytes: number): Generator<string[]> {
  let list: string[] = [];
  let bytes = 2;
  for (const name of names) {
    const more = quoted(`${listItem(name)} `).length - 2;
    if (list.length > 0 && bytes + more > maxBytes) {
      yield list;
      [list, bytes] = [[], 2];
    }
    list.push(name);
    bytes += more;
  }
  if (list.length > 0) yield list;
}

/** The bytes of a text. A name in a guest is a text in UTF-8 by custom only. */
export function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The text of bytes. What is no UTF-8 becomes U+FFFD. */
export function textOf(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** What `lstatnslist` says about a file. */
export interface GuestStat {
  readonly kind: GuestFileKind;
  /** Permission bits. */
  readonly mode: number;
  readonly sizeBytes: number;
  /** ISO 8601, UTC. */
  readonly modifiedAt: string;
}

export type GuestFileKind = 'file' | 'folder' | 'link' | 'special';

const KINDS: Readonly<Record<number, GuestFileKind>> = {
  0o100000: 'file',
  0o040000: 'folder',
  0o120000: 'link',
};
const KIND_MASK = 0o170000;
const PERMISSIONS_MASK = 0o777;

/** Reads the structs that `lstatnslist` prints. A file that is gone is undefined. */
export function parseStats(output: string): (GuestStat | undefined)[] {
  const structs = output.split(/^\[\d+\] = \{$/m).slice(1);
  return structs.map((text) => {
    if (fieldOf(text, 'ino') === -1) return undefined;
    const mode = fieldOf(text, 'mode');
    return {
      kind: KINDS[mode & KIND_MASK] ?? 'special',
      mode: mode & PERMISSIONS_MASK,
      sizeBytes: fieldOf(text, 'size'),
      modifiedAt: timeOf(fieldOf(text, 'mtime_sec')),
    };
  });
}

function fieldOf(text: string, name: string): number {
  return Number(new RegExp(`^ *st_${name}: (-?\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}

/** A damaged file system may hold any number. */
function timeOf(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? '' : time.toISOString();
}
