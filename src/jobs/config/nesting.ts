/** How deep a YAML text nests. The parser has no limit that protects the process. */
import type { Position } from './positions.ts';

const MOST_BRACKETS = 100;
/** Signs before the first key or value of a line: each level of a block takes some. */
const MOST_START_CHARS = 400;
const LINE_START = /^[ \-?:]*/;

/**
 * Where a text nests deeper than any job file does. Brackets in quotes and comments count too, but
 * they do not add up: they are closed, or few.
 *
 * @returns undefined for a text that may be parsed.
 */
export function deepNesting(text: string): Position | undefined {
  let depth = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const startChars = LINE_START.exec(line)?.[0].length ?? 0;
    if (startChars > MOST_START_CHARS) return { line: index + 1, column: MOST_START_CHARS };
    for (let at = 0; at < line.length; at++) {
      const sign = line[at];
      if (sign === '[' || sign === '{') depth++;
      else if (sign === ']' || sign === '}') depth = Math.max(0, depth - 1);
      if (depth > MOST_BRACKETS) return { line: index + 1, column: at + 1 };
    }
  }
  return undefined;
}
