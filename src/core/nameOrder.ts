/** The order of names in lists and tables. */

/** Compares by code units, so a name stands before those that it begins: web01, web01-new. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
