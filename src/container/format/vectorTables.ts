/**
 * Pure arithmetic of vectors ("MetaVec2"): which word of which table page names data page i.
 *
 * Two rules are published. They agree for up to four table pages (2040 data pages). Beyond that we
 * write the ×4 rule, which VeeamPhaser's author reports as Veeam's own, and read both. Not verified
 * against Veeam's own software.
 */
import { NO_PAGE, PAGE_BYTES, viewOf, writePageId } from './layout.ts';

export const TABLE_WORDS: number = PAGE_BYTES / 8;

export type TableRule = 'geometric' | 'period3';

/**
 * Number of table pages of a vector with `dataPages` data pages by the ×4 rule. Table pages come in
 * whole groups of 1, 3, 12, 48…
 */
export function tablePagesFor(dataPages: number): number {
  let tables = 1;
  while (dataPages > 510 * tables) tables *= 4;
  return tables;
}

/** Word of data page `index` by the ×4 rule, counted over all table pages. */
export function geometricWord(index: number): number {
  let tables = 1;
  while (index + 1 > 510 * tables) tables *= 4;
  const shifted = tables + index;
  return TABLE_WORDS * Math.floor(shifted / 511) + 1 + (shifted % 511);
}

/** Word of data page `index` by dissect's rule: table pages 2, 5, 8… have four header words. */
export function period3Word(index: number): number {
  if (index < 510) return index + 2;
  const rest = index - 510;
  const perTurn = 508 + 511 + 511;
  const inTurn = rest % perTurn;
  const firstTable = 1 + 3 * Math.floor(rest / perTurn);
  if (inTurn < 508) return TABLE_WORDS * firstTable + 4 + inTurn;
  const table = firstTable + 1 + Math.floor((inTurn - 508) / 511);
  return TABLE_WORDS * table + 1 + ((inTurn - 508) % 511);
}

export function wordOf(rule: TableRule, index: number): number {
  return rule === 'geometric' ? geometricWord(index) : period3Word(index);
}

/** First table page of the group that `table` (above 0) belongs to: 1, 4, 16… */
function groupHeadOf(table: number): number {
  let head = 1;
  while (head * 4 <= table) head *= 4;
  return head;
}

/**
 * Words of a table page that hold group ids, as pairs of word and id. A group of 3·head pages lists
 * the ids of its pages from its first page on. A long list goes on in the pages after it.
 */
function* groupIdsOf(table: number, tableIds: readonly number[]): Generator<[number, number]> {
  if (table === 0) return;
  const head = groupHeadOf(table);
  const first = (table - head) * (TABLE_WORDS - 1);
  const end = Math.min(3 * head, first + TABLE_WORDS - 1);
  for (let k = first; k < end; k++) yield [1 + k - first, tableIds[head + k] ?? NO_PAGE];
}

/**
 * Encodes one table page. It holds the id of the next page, then its own id or group ids, then data
 * page ids. All other words are -1.
 */
export function encodeTablePage(
  table: number,
  tableIds: readonly number[],
  dataPageId: (index: number) => number,
  dataPages: number,
): Buffer {
  const page = Buffer.alloc(PAGE_BYTES, 0xff);
  const view = viewOf(page);
  writePageId(view, 0, tableIds[table + 1] ?? NO_PAGE);
  if (table === 0) writePageId(view, 8, tableIds[0] ?? NO_PAGE);
  for (const [word, tableId] of groupIdsOf(table, tableIds)) writePageId(view, 8 * word, tableId);
  for (const [index, word] of dataWordsOf(table, dataPages)) {
    writePageId(view, 8 * word, dataPageId(index));
  }
  return page;
}

/**
 * Data pages that table page `table` names by the ×4 rule. Each comes with its word in the page.
 */
function* dataWordsOf(table: number, dataPages: number): Generator<[number, number]> {
  for (let index = firstDataPageOf(table); index < dataPages; index++) {
    const word = geometricWord(index);
    if (word >= TABLE_WORDS * (table + 1)) return;
    yield [index, word - TABLE_WORDS * table];
  }
}

/**
 * Smallest data page whose word lies in `table` or in a later table page. Words ascend with the
 * index of the data page.
 */
function firstDataPageOf(table: number): number {
  let low = 0;
  let high = 511 * (table + 1);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (geometricWord(middle) < TABLE_WORDS * table) low = middle + 1;
    else high = middle;
  }
  return low;
}
