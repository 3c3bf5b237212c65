/** Finds the names that a mistyped one may have meant. */

const MOST_NAMES = 3;
/** Longer names are cut, so that the comparison stays cheap. */
const MOST_CHARS = 64;

/**
 * Number of single edits between two texts: a letter is inserted, deleted or replaced, or two
 * neighbours are swapped (optimal string alignment).
 */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, k) => k);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let k = 1; k <= b.length; k++) {
      const isEqual = a[i - 1] === b[k - 1];
      const replaced = (last[k - 1] ?? 0) + (isEqual ? 0 : 1);
      let best = Math.min(replaced, (last[k] ?? 0) + 1, (row[k - 1] ?? 0) + 1);
      const isSwap = i > 1 && k > 1 && a[i - 1] === b[k - 2] && a[i - 2] === b[k - 1];
      if (isSwap) best = Math.min(best, (beforeLast[k - 2] ?? 0) + 1);
      row.push(best);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length] ?? 0;
}

/**
 * Names of `known` that are nearly `wanted`, the nearest first, at most three. Case does not count.
 * A name that begins with `wanted` is near too.
 */
export function nearestNames(wanted: string, known: Iterable<string>): string[] {
  const plain = wanted.toLowerCase().slice(0, MOST_CHARS);
  if (plain === '') return [];
  const most = Math.max(1, Math.floor(plain.length / 3));
  const near = [...new Set(known)].flatMap((name) => {
    const other = name.toLowerCase().slice(0, MOST_CHARS);
    const isBeginning = plain.length > 1 && other.startsWith(plain);
    if (!isBeginning && Math.abs(other.length - plain.length) > most) return [];
    const distance = isBeginning && other !== plain ? most : editDistance(plain, other);
    return distance <= most ? [{ name, distance }] : [];
  });
  return near
    .toSorted((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, MOST_NAMES)
    .map(({ name }) => name);
}

/**
 * Start of a hint: `did you mean "web01"? `, or nothing when no name is near.
 *
 * @param quote - put around each name.
 */
export function didYouMean(wanted: string, known: Iterable<string>, quote = '"'): string {
  const names = nearestNames(wanted, known).map((name) => `${quote}${name}${quote}`);
  return names.length === 0 ? '' : `did you mean ${names.join(' or ')}? `;
}
