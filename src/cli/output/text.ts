/** Texts for people: width on a terminal, cutting, folding, counts and local times. */
import { eastAsianWidth } from 'get-east-asian-width';

export { printable } from '../../core/namePattern.ts';

const PLAIN = /^[ -~]*$/;
const INVISIBLE = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;
/** Voicing marks of narrow Japanese letters. They have a column of their own. */
const NARROW_MARKS = /[\uFF9E\uFF9F]/g;
const EMOJI = /\p{Emoji_Presentation}|\p{Emoji}\uFE0F/u;
const ELLIPSIS = '\u2026';

/** Made when it is needed: it takes 10 ms of a start. */
let segmenter: Intl.Segmenter | undefined;

/** Characters as people see them: a base with its combining marks, a whole emoji. */
function* charactersOf(text: string): Generator<string> {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  for (const { segment } of segmenter.segment(text)) yield segment;
}

function characterWidth(character: string): number {
  if (INVISIBLE.test(character)) return 0;
  if (EMOJI.test(character)) return 2;
  const marks = character.slice(1).match(NARROW_MARKS)?.length ?? 0;
  return eastAsianWidth(character.codePointAt(0) ?? 0) + marks;
}

/** Columns of a terminal that `text` takes. CJK and emoji take two, combining marks none. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const character of charactersOf(text)) width += characterWidth(character);
  return width;
}

/** `text`, or its beginning with an ellipsis, in at most `columns` columns. */
export function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  if (columns < 1) return '';
  if (PLAIN.test(text)) return text.slice(0, columns - 1) + ELLIPSIS;
  let kept = '';
  let width = 0;
  for (const character of charactersOf(text)) {
    width += characterWidth(character);
    if (width >= columns) break;
    kept += character;
  }
  return `${kept}${ELLIPSIS}`;
}

/** Cuts a text or adds spaces, so that it takes exactly `columns`. */
export function fit(text: string, columns: number): string {
  const short = cut(text, columns);
  return short + ' '.repeat(Math.max(0, columns - widthOf(short)));
}

/** As {@link cut}, but after a whole word. */
export function cutAtWord(text: string, columns: number): string {
  const short = cut(text, columns);
  return short === text ? text : `${short.replace(/\s*\S*$/, '')}${ELLIPSIS}`;
}

/**
 * Breaks a text between words into lines of at most `columns` columns. A longer word stays whole.
 *
 * @param indent - spaces before all lines except the first.
 */
export function fold(text: string, columns: number, indent = 0): string {
  if (widthOf(text) <= columns) return text;
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of text.split(' ')) {
    const longer: string = line === undefined ? word : `${line} ${word}`;
    if (line !== undefined && line.trim() !== '' && widthOf(longer) > columns) {
      lines.push(line);
      line = `${' '.repeat(indent)}${word}`;
    } else line = longer;
  }
  return [...lines, line].join('\n');
}

/** `1 restore point`, `2 restore points`. */
export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function twoDigits(value: number): string {
  return String(Math.trunc(value)).padStart(2, '0');
}

/**
 * Local time with the offset of its zone, such as `2026-11-29 11:48:05 +01:00`.
 *
 * @param time - ISO 8601.
 */
export function formatLocalTime(time: string, withSeconds = true): string {
  const date = new Date(time);
  const [month, day] = [date.getMonth() + 1, date.getDate()].map(twoDigits);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits);
  const clock = parts.slice(0, withSeconds ? 3 : 2).join(':');
  const eastMinutes = -date.getTimezoneOffset();
  const [hours, minutes] = [Math.abs(eastMinutes) / 60, Math.abs(eastMinutes) % 60].map(twoDigits);
  const zone = `${eastMinutes < 0 ? '-' : '+'}${hours}:${minutes}`;
  return `${date.getFullYear()}-${month}-${day} ${clock} ${zone}`;
}

const MIN_ID_CHARS = 8;

function commonChars(one: string, other: string): number {
  let chars = 0;
  while (chars < one.length && one[chars] === other[chars]) chars++;
  return chars;
}

/** The shortest beginning of each id that no other one has: 8 characters or more. */
export function shortIds(ids: readonly string[]): ReadonlyMap<string, string> {
  // In order, the id with the longest common beginning is a neighbour.
  const sorted = [...new Set(ids)].toSorted();
  return new Map(
    sorted.map((id, index) => {
      const neighbours = [sorted[index - 1] ?? '', sorted[index + 1] ?? ''];
      const shared = Math.max(...neighbours.map((other) => commonChars(id, other)));
      return [id, id.slice(0, Math.max(MIN_ID_CHARS, shared + 1))];
    }),
  );
}
