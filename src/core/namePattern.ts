/**
 * Names of VMs: their order, patterns (`*` stands for any letters, `?` for one letter), and what of
 * them may be shown.
 */

/** Compares by code units, so a name stands before those that it begins: web01, web01-new. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function isPattern(text: string): boolean {
  return /[*?]/.test(text);
}

/** Hint for a pattern where a command takes only names; empty for a plain name. */
export function noPatternHint(text: string): string {
  return isPattern(text) ? 'this command takes no patterns: give one name or id; ' : '';
}

/** A test for names. Case counts, as in names of VMs. A text without `*` and `?` fits itself. */
export function patternMatcher(pattern: string): (name: string) => boolean {
  const parts = pattern.split(/\*+/);
  if (parts.length === 1) return (name) => fitsAt(parts[0] ?? '', name, 0, name.length);
  const [first = '', ...rest] = parts;
  const last = rest.pop() ?? '';
  return (name) => {
    const end = name.length - last.length;
    if (end < first.length || !fitsAt(first, name, 0, first.length)) return false;
    if (!fitsAt(last, name, end, name.length)) return false;
    return fitInOrder(rest, name, first.length, end);
  };
}

/** The part between two `*` fits at the first place where it can: no backtracking is needed. */
function fitInOrder(parts: readonly string[], name: string, start: number, end: number): boolean {
  let at = start;
  for (const part of parts) {
    while (at + part.length <= end && !fitsAt(part, name, at, at + part.length)) at++;
    if (at + part.length > end) return false;
    at += part.length;
  }
  return true;
}

function fitsAt(part: string, name: string, start: number, end: number): boolean {
  if (end - start !== part.length) return false;
  for (let k = 0; k < part.length; k++) {
    if (part[k] !== '?' && part[k] !== name[start + k]) return false;
  }
  return true;
}

/**
 * Control characters and marks that turn the direction of text. In names from files they must not
 * reach a terminal, a mail or a page.
 */
const UNSAFE = /[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu;

/** Replaces what must not reach a reader by `?`. */
export function printable(text: string): string {
  return text.replaceAll(UNSAFE, '?');
}
