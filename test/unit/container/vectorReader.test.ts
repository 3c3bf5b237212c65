import { describe, expect, it } from 'vitest';
import { PAGE_BYTES } from '../../../src/container/format/layout.ts';
import type { PageReader } from '../../../src/container/read/pageReader.ts';
import { readBlob, VectorReader } from '../../../src/container/read/vectorReader.ts';
import {
  geometricWord,
  period3Word,
  TABLE_WORDS,
  type TableRule,
  wordOf,
} from '../../../src/container/format/vectorTables.ts';
import { expectCode } from '../../helpers/errors.ts';
import { pagesOf } from '../../helpers/metadata.ts';

/** A page of words. Missing words are -1. */
function wordPage(words: readonly (number | undefined)[]): Buffer {
  const page = Buffer.alloc(PAGE_BYTES, 0xff);
  for (const [k, word] of words.entries()) {
    if (word !== undefined) page.writeBigInt64LE(BigInt(word), 8 * k);
  }
  return page;
}

/**
 * A vector with one 4096-byte record in each page, laid out by `rule`. Its table pages come first.
 */
function vectorPages(rule: TableRule, dataPages: number): PageReader {
  const lastTable = Math.floor(wordOf(rule, dataPages - 1) / TABLE_WORDS);
  const tables = rule === 'geometric' && lastTable > 3 ? 16 : lastTable + 1;
  const words: (number | undefined)[] = Array(TABLE_WORDS * tables).fill(undefined);
  for (let table = 0; table + 1 < tables; table++) words[TABLE_WORDS * table] = table + 1;
  words[1] = 0;
  for (let k = 0; k < 3; k++) words[TABLE_WORDS + 1 + k] = 2 + k;
  if (rule === 'geometric' && tables > 4) {
    for (let k = 0; k < 12; k++) words[4 * TABLE_WORDS + 1 + k] = 4 + k;
  }
  for (let index = 0; index < dataPages; index++) words[wordOf(rule, index)] = tables + index;
  const images = Array.from({ length: tables }, (_, table) =>
    wordPage(words.slice(TABLE_WORDS * table, TABLE_WORDS * (table + 1))),
  );
  for (let index = 0; index < dataPages; index++) images.push(wordPage([index]));
  return pagesOf(images);
}

describe('VectorReader on long vectors', () => {
  it.each([
    ['geometric', 2041],
    ['geometric', 3000],
    ['period3', 2041],
    ['period3', 2100],
    ['period3', 3000],
  ] as const)('recognizes the %s rule with %i data pages', async (rule, dataPages) => {
    const pages = vectorPages(rule, dataPages);

    const vector = await VectorReader.open(pages, 0, PAGE_BYTES, dataPages, 'test');

    for (const index of [0, 2039, 2040, dataPages - 1]) {
      expect((await vector.record(index)).readUInt32LE(0)).toBe(index);
    }
  });

  it('would read another page by the other rule (control)', () => {
    expect(geometricWord(2040)).not.toBe(period3Word(2040));
  });
});

const openVector = (images: readonly Buffer[], count: number, root = 0): Promise<unknown> =>
  VectorReader.open(pagesOf(images), root, PAGE_BYTES, count, 'test');

describe('VectorReader on damaged vectors', () => {
  it.each([
    ['a table that follows itself', [wordPage([0, 0, 1]), wordPage([])], 1, 'FORMAT_STRUCTURE'],
    ['a root that names another one', [wordPage([-1, 1, 1]), wordPage([])], 1, 'FORMAT_STRUCTURE'],
    ['a next table out of range', [wordPage([99, 0, 1]), wordPage([])], 1, 'FORMAT_BOUNDS'],
    ['a count above the pages', [wordPage([-1, 0, 1]), wordPage([])], 3, 'FORMAT_BOUNDS'],
    ['a count that is no number', [wordPage([-1, 0, 1])], Number.NaN, 'FORMAT_BOUNDS'],
    ['a negative next table', [wordPage([-2, 0])], 0, 'FORMAT_BOUNDS'],
  ] as const)('refuses %s', async (_what, images, count, code) => {
    await expectCode(openVector(images, count), code);
  });

  it('refuses a root that is no page', async () => {
    await expectCode(openVector([wordPage([-1, 0])], 0, Number.NaN), 'FORMAT_BOUNDS');
  });

  it('refuses a chain too short for its count', async () => {
    const images = Array.from({ length: 600 }, (_, k) => wordPage(k === 0 ? [-1, 0] : []));

    await expectCode(openVector(images, 511), 'FORMAT_STRUCTURE');
  });

  it('refuses a data page that is none', async () => {
    const pages = pagesOf([wordPage([-1, 0, -1]), wordPage([])]);
    const vector = await VectorReader.open(pages, 0, PAGE_BYTES, 1, 'test');

    await expectCode(vector.record(0), 'FORMAT_BOUNDS');
  });
});

const blobPage = (next: number, lengthBytes: number): Buffer => {
  const page = wordPage([next]);
  page.writeUInt32LE(lengthBytes, 8);
  return page;
};

describe('readBlob on damaged blobs', () => {
  it.each([
    ['a length above all pages', [blobPage(-1, 0xffff_ffff)], 'FORMAT_BOUNDS'],
    ['a chain that ends early', [blobPage(-1, 5000), blobPage(-1, 0)], 'FORMAT_BOUNDS'],
    ['a page that follows itself', [blobPage(0, 100)], 'FORMAT_STRUCTURE'],
    ['a chain that goes on', [blobPage(1, 100), blobPage(-1, 0)], 'FORMAT_STRUCTURE'],
  ] as const)('refuses %s', async (_what, images, code) => {
    await expectCode(readBlob(pagesOf(images), 0, 'test'), code);
  });
});
