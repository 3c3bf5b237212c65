import { describe, expect, it } from 'vitest';
import { NO_PAGE, readPageId, viewOf } from '../../../src/container/format/layout.ts';
import {
  encodeTablePage,
  geometricWord,
  period3Word,
  TABLE_WORDS,
  tablePagesFor,
  wordOf,
} from '../../../src/container/format/vectorTables.ts';

const EDGES = [510, 511, 1019, 1530, 2040, 2041, 2549, 8160, 8161, 32_640, 130_560, 130_561];
const MOST = 150_000;

/** Words of the data pages in order. It walks over all table pages and skips their header words. */
function walkWords(count: number, headerWordsOf: (table: number) => number): number[] {
  const words: number[] = [];
  for (let table = 0; words.length < count; table++) {
    for (let word = headerWordsOf(table); word < 512; word++) words.push(512 * table + word);
  }
  return words.slice(0, count);
}

/**
 * Groups of 1, 3, 12, 48… pages. The ids of a group stand at its start, over several pages if they
 * need them.
 */
function geometricHeader(): (table: number) => number {
  let groupStart = 1;
  let idsLeft = 0;
  return (table) => {
    if (table === 0) return 2;
    if (table === groupStart) {
      idsLeft = 3 * groupStart;
      groupStart *= 4;
    }
    const ids = Math.min(511, idsLeft);
    idsLeft -= ids;
    return 1 + ids;
  };
}

function period3Header(table: number): number {
  if (table === 0) return 2;
  return table % 3 === 1 ? 4 : 1;
}

describe('word of a data page', () => {
  it('by the ×4 rule is what walking over the groups gives', () => {
    const walked = walkWords(MOST, geometricHeader());

    expect(walked.map((_, index) => geometricWord(index))).toEqual(walked);
  });

  it('by the period of three is what walking over the pages gives', () => {
    const walked = walkWords(MOST, period3Header);

    expect(walked.map((_, index) => period3Word(index))).toEqual(walked);
  });

  it('is the same by both rules for the first 2040 pages and no further', () => {
    const differs = Array.from({ length: 2041 }, (_, index) => index).filter(
      (index) => wordOf('geometric', index) !== wordOf('period3', index),
    );

    expect(differs).toEqual([2040]);
  });

  it.each(EDGES)('of the last of %i pages lies in the table pages of that vector', (dataPages) => {
    const table = Math.floor(geometricWord(dataPages - 1) / TABLE_WORDS);

    expect(table).toBeLessThan(tablePagesFor(dataPages));
  });
});

const tableIdOf = (table: number): number => 5_000_000 + 7 * table;

const dataIdOf = (index: number): number => 1_000_000 + index;

function encodeAll(dataPages: number): number[] {
  const ids = Array.from({ length: tablePagesFor(dataPages) }, (_, table) => tableIdOf(table));
  return ids.flatMap((_, table) => {
    const view = viewOf(encodeTablePage(table, ids, dataIdOf, dataPages));
    return Array.from({ length: TABLE_WORDS }, (_word, word) => readPageId(view, 8 * word));
  });
}

describe('table pages', () => {
  it.each([
    [0, 1],
    [510, 1],
    [511, 4],
    [2040, 4],
    [2041, 16],
    [8160, 16],
    [8161, 64],
    [130_560, 256],
    [130_561, 1024],
  ])('for %i data pages are %i', (dataPages, tables) => {
    expect(tablePagesFor(dataPages)).toBe(tables);
  });

  it.each([0, 1, 510, 511, 2040, 2041, 2549, 8160, 8161, 130_561])(
    'of %i data pages name each of them exactly once, in order',
    (dataPages) => {
      const named = encodeAll(dataPages).filter((id) => id >= 1_000_000 && id < 5_000_000);

      expect(named).toHaveLength(dataPages);
      expect(named.findIndex((id, index) => id !== dataIdOf(index))).toBe(-1);
    },
  );

  it.each([0, 511, 2041, 8161, 130_561])(
    'of %i data pages hold next, self and group ids in front and nothing else',
    (dataPages) => {
      const words = encodeAll(dataPages);
      const tables = tablePagesFor(dataPages);
      const header = geometricHeader();
      const expected = [...Array(tables).keys()].map((table) => header(table));
      let groupIds = Array.from({ length: tables - 1 }, (_, k) => tableIdOf(k + 1));

      for (const [table, headerWords] of expected.entries()) {
        const [next, ...rest] = words.slice(512 * table, 512 * table + headerWords);
        const own = table === 0 ? [tableIdOf(0)] : groupIds.slice(0, rest.length);
        if (table > 0) groupIds = groupIds.slice(rest.length);
        expect(next).toBe(table + 1 < tables ? tableIdOf(table + 1) : NO_PAGE);
        expect(rest).toEqual(own);
      }
      const bookkeeping = expected.reduce((sum, words) => sum + words, 0);
      const lastNext = 1;
      expect(words.filter((id) => id !== NO_PAGE)).toHaveLength(dataPages + bookkeeping - lastNext);
    },
  );
});
