/** Long tests: `npm run sweep` runs all of them, `npm test` a part. */

export const IS_LONG_FORM: boolean = process.env['SWEEP'] === 'full';

/**
 * All rows in the long form, otherwise every fifth. For rows that take seconds, since they start
 * processes or whole sessions.
 */
export function inTurn<const T>(rows: readonly T[]): readonly T[] {
  return IS_LONG_FORM ? rows : rows.filter((_, k) => k % 5 === 0);
}

/** A count of the long form, or the smaller one of `npm test`. */
export function longOr(long: number, short: number): number {
  return IS_LONG_FORM ? long : short;
}
