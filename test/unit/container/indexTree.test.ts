import { describe, expect, it } from 'vitest';
import { recordsPerPage, walkIndex, writeIndex } from '../../../src/container/format/indexTree.ts';
import {
  DEDUP_RECORD_BYTES,
  FREE_RECORD_BYTES,
  PAGE_BYTES,
} from '../../../src/container/format/layout.ts';
import type { PageReader } from '../../../src/container/read/pageReader.ts';
import { expectCode } from '../../helpers/errors.ts';
import { pagesOf, writeMetadata } from '../../helpers/metadata.ts';

async function writeNumbers(count: number, recordBytes: number, reservedRoot?: number) {
  return await writeMetadata(
    (writer) =>
      writeIndex(
        writer,
        recordBytes,
        count,
        (index, out) => out.writeUInt32BE(index, recordBytes - 4),
        reservedRoot,
      ),
    { reservedPages: 3 },
  );
}

async function walkNumbers(
  pages: PageReader,
  root: number,
  recordBytes: number,
): Promise<number[]> {
  const numbers: number[] = [];
  for await (const record of walkIndex((id) => pages.read(id), root, recordBytes)) {
    numbers.push(record.readUInt32BE(recordBytes - 4));
  }
  return numbers;
}

/** An index page: record count, then the children. The records are zero. */
function indexPage(count: number, children: readonly number[]): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  page.writeUInt32LE(count, 0);
  for (let k = 0; k <= count; k++) {
    const at = 4 + k * (8 + DEDUP_RECORD_BYTES);
    page.writeBigInt64LE(BigInt(children[k] ?? -1), at);
  }
  return page;
}

describe('index tree', () => {
  it('holds 204 free extents or 127 digests a page', () => {
    expect([FREE_RECORD_BYTES, DEDUP_RECORD_BYTES].map(recordsPerPage)).toEqual([204, 127]);
  });

  it.each([0, 1, 127, 128, 129, 254, 255, 256, 1000, 16_383, 16_384, 16_385, 50_000])(
    'walks %i records in the order they were written',
    async (count) => {
      const { pages, result } = await writeNumbers(count, DEDUP_RECORD_BYTES);

      expect(await walkNumbers(pages, result, DEDUP_RECORD_BYTES)).toEqual([
        ...Array(count).keys(),
      ]);
    },
  );

  it.each([0, 204, 205, 5000])('walks %i free extents from a reserved root', async (count) => {
    const { pages, result } = await writeNumbers(count, FREE_RECORD_BYTES, 2);

    expect(result).toBe(2);
    expect(await walkNumbers(pages, 2, FREE_RECORD_BYTES)).toEqual([...Array(count).keys()]);
  });

  it.each([128, 16_384])('is balanced and leaves no page empty for %i records', async (count) => {
    const { pages, result } = await writeNumbers(count, DEDUP_RECORD_BYTES);
    const leafDepths = new Set<number>();
    const visit = async (pageId: number, depth: number): Promise<void> => {
      const page = await pages.read(pageId);
      const records = page.readUInt32LE(0);
      expect(records).toBeGreaterThan(0);
      for (let k = 0; k <= records; k++) {
        const child = Number(page.readBigInt64LE(4 + k * (8 + DEDUP_RECORD_BYTES)));
        if (child === -1) leafDepths.add(depth);
        else await visit(child, depth + 1);
      }
    };

    await visit(result, 0);

    expect(leafDepths.size).toBe(1);
  });

  it('of no records is one page with count 0 and no child', async () => {
    const { pages } = await writeNumbers(0, FREE_RECORD_BYTES, 2);

    const page = await pages.read(2);

    expect(page.toString('hex', 0, 12)).toBe('00000000ffffffffffffffff');
  });
});

describe('walk of a damaged index', () => {
  it.each([
    ['a page with more records than fit', [indexPage(0, []).fill(0xff, 0, 4)], 'FORMAT_STRUCTURE'],
    ['a page that is its own child', [indexPage(1, [0, -1])], 'FORMAT_STRUCTURE'],
    ['two pages that name each other', [indexPage(1, [1]), indexPage(1, [0])], 'FORMAT_STRUCTURE'],
    ['a child that does not exist', [indexPage(1, [9, -1])], 'FORMAT_BOUNDS'],
  ] as const)('refuses %s', async (_what, images, code) => {
    await expectCode(walkNumbers(pagesOf(images), 0, DEDUP_RECORD_BYTES), code);
  });

  it('refuses pages that are reached over and over again', { timeout: 10_000 }, async () => {
    const images = [1, 2, 3, -1].map((child) => indexPage(127, Array<number>(128).fill(child)));
    const pages = pagesOf(images);
    const walk = async (): Promise<void> => {
      let records = 0;
      for await (const record of walkIndex((id) => pages.read(id), 0, DEDUP_RECORD_BYTES)) {
        records += record.length > 0 ? 1 : 0;
        if (records > 127 * images.length) break;
      }
    };

    await expectCode(walk(), 'FORMAT_STRUCTURE');
  });
});
