/** Columns of a text on a terminal. Letters of East Asia take two, combining characters none. */
import { eastAsianWidth } from 'get-east-asian-width';

const segmenter = new Intl.Segmenter();
/** Combining characters, and characters that steer. */
const NO_COLUMN = /^[\p{Mark}\p{Cf}\p{Cc}]*$/u;
/** Voicing marks of narrow Japanese letters. They have a column of their own. */
const NARROW_MARKS = /[\uFF9E\uFF9F]/g;
/** Asks for the wide, coloured form of the character before it. */
const EMOJI_FORM = '\uFE0F';

function letterWidth(letter: string): number {
  if (NO_COLUMN.test(letter)) return 0;
  if (letter.includes(EMOJI_FORM)) return 2;
  const marks = letter.slice(1).match(NARROW_MARKS)?.length ?? 0;
  return eastAsianWidth(letter.codePointAt(0) ?? 0) + marks;
}

export function textWidth(text: string): number {
  let columns = 0;
  for (const { segment } of segmenter.segment(text)) columns += letterWidth(segment);
  return columns;
}

/** Cuts a text that is too wide; `…` then stands at its end. */
export function cutToWidth(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let cut = '';
  let roomColumns = columns - 1;
  for (const { segment } of segmenter.segment(text)) {
    roomColumns -= letterWidth(segment);
    if (roomColumns < 0) break;
    cut += segment;
  }
  return columns > 0 ? `${cut}…` : '';
}

/** Cuts a text or adds spaces, so that it takes exactly `columns`. */
export function fitToWidth(text: string, columns: number): string {
  const cut = cutToWidth(text, columns);
  return cut + ' '.repeat(Math.max(0, columns - textWidth(cut)));
}
