import { crc32c } from '@node-rs/crc32';
import { describe, expect, it } from 'vitest';
import { bankOf, makePageId, PAGE_BYTES, pageOf } from '../../../src/container/format/layout.ts';
import { copyBanks } from '../../../src/container/write/metadataWriter.ts';
import { readBlob, VectorReader } from '../../../src/container/read/vectorReader.ts';
import { expectCode } from '../../helpers/errors.ts';
import { METADATA_START, writeMetadata } from '../../helpers/metadata.ts';
import { noise } from '../../helpers/random.ts';

const RECORD_BYTES = 1000;
const PER_PAGE = 4;

function encodeNumber(index: number, out: Buffer): void {
  out.writeUInt32LE(index, 0);
  out.writeUInt32LE(0xffff_ffff - index, RECORD_BYTES - 4);
}

/** Writes a vector of `count` numbered records and reads them back. */
async function throughVector(count: number, reservedRoot?: number): Promise<number[]> {
  const { result, pages } = await writeMetadata(
    (writer) => writer.vector(RECORD_BYTES, count, encodeNumber, reservedRoot),
    { reservedPages: reservedRoot === undefined ? 0 : 3 },
  );
  const vector = await VectorReader.open(pages, result, RECORD_BYTES, count, 'test');
  const numbers: number[] = [];
  for await (const [index, record] of vector.records()) {
    expect(record.readUInt32LE(RECORD_BYTES - 4)).toBe(0xffff_ffff - index);
    numbers.push(record.readUInt32LE(0));
  }
  return numbers;
}

describe('vectors', () => {
  it.each([0, 1, PER_PAGE, PER_PAGE + 1, 510 * PER_PAGE, 511 * PER_PAGE, 2041 * PER_PAGE])(
    'of %i records come back in order',
    async (count) => {
      expect(await throughVector(count)).toEqual([...Array(count).keys()]);
    },
  );

  it('come back from a reserved root', async () => {
    expect(await throughVector(3000, 1)).toEqual([...Array(3000).keys()]);
  });

  it('give single records by index', async () => {
    const { result, pages } = await writeMetadata((writer) =>
      writer.vector(RECORD_BYTES, 9000, encodeNumber),
    );
    const vector = await VectorReader.open(pages, result, RECORD_BYTES, 9000, 'test');

    for (const index of [0, 3, 4, 8163, 8164, 8999]) {
      expect((await vector.record(index)).readUInt32LE(0)).toBe(index);
    }
    await expectCode(vector.record(9000), 'FORMAT_BOUNDS');
    await expectCode(vector.record(-1), 'FORMAT_BOUNDS');
  });

  it('leave the rest of a data page zero', async () => {
    const { storage, banks } = await writeMetadata((writer) =>
      writer.vector(RECORD_BYTES, 1, (_index, out) => out.fill(0xee)),
    );
    const at = (banks[0]?.offsetBytes ?? 0) + PAGE_BYTES;
    const page = storage.content.subarray(at, at + PAGE_BYTES);

    expect(page.subarray(0, RECORD_BYTES).every((byte) => byte === 0xee)).toBe(true);
    expect(page.subarray(RECORD_BYTES).every((byte) => byte === 0)).toBe(true);
  });
});

describe('blobs', () => {
  it.each([0, 1, 4084, 4085, 8168, 8169, 100_000])('of %i bytes come back', async (lengthBytes) => {
    const bytes = noise(lengthBytes, lengthBytes);

    const { result, pages } = await writeMetadata((writer) => writer.blob(bytes));

    expect(await readBlob(pages, result, 'test')).toEqual(bytes);
  });

  it('come back when they cross the end of a bank', async () => {
    const bytes = noise(1, 3 * 4084);

    const { result, pages } = await writeMetadata(async (writer) => {
      for (let page = 0; page < 1023; page++) await writer.append(() => {});
      return await writer.blob(bytes);
    });

    expect(result).toBe(makePageId(0, 1023));
    expect(await readBlob(pages, result, 'test')).toEqual(bytes);
  });
});

/** Banks after `pages` pages. Each page is filled with its number. */
const numbered = (pages: number) =>
  writeMetadata(async (writer) => {
    for (let k = 0; k < pages; k++) await writer.append((page) => page.fill(1 + (k % 255)));
  });

describe('banks', () => {
  it.each([
    [0, [32]],
    [32, [32]],
    [33, [33]],
    [1024, [1024]],
    [1025, [1024, 32]],
    [2148, [1024, 1024, 100]],
  ])('for %i pages have %j pages', async (pages, expected) => {
    const { banks } = await numbered(pages);

    expect(banks.map((bank) => bank.sizeBytes / PAGE_BYTES - 2)).toEqual(expected);
  });

  it('lie one behind the other without a gap', async () => {
    const { banks, endBytes, storage } = await numbered(2148);
    let at = METADATA_START;

    for (const bank of banks) {
      expect(bank.offsetBytes).toBe(at);
      at += bank.sizeBytes;
    }
    expect([endBytes, storage.content.length]).toEqual([at, at]);
  });

  it('carry their CRC-32C over all of their bytes', async () => {
    const { banks, storage } = await numbered(1100);

    for (const { offsetBytes, sizeBytes, crc } of banks) {
      expect(crc32c(storage.content.subarray(offsetBytes, offsetBytes + sizeBytes))).toBe(crc);
    }
  });

  it('mark used and free pages, and keep free ones and the last page zero', async () => {
    const { banks, storage } = await numbered(1034);
    const last = banks.at(-1);
    const bank = storage.content.subarray(last?.offsetBytes);

    expect(bank.readUInt16LE(0)).toBe(32);
    expect([...bank.subarray(4, 38)]).toEqual([...Array(10).fill(0), ...Array(22).fill(1), 0, 0]);
    expect(bank.subarray(38, PAGE_BYTES).every((byte) => byte === 0)).toBe(true);
    expect(bank.subarray(11 * PAGE_BYTES).every((byte) => byte === 0)).toBe(true);
  });

  it('are refused beyond the limit of the slot', async () => {
    const pages = writeMetadata(
      async (writer) => {
        for (let k = 0; k < 1025; k++) await writer.append(() => {});
      },
      { maxBanks: 1 },
    );

    await expectCode(pages, 'FORMAT_BOUNDS');
  });

  it('announce the ids that the next pages get', async () => {
    await writeMetadata(async (writer) => {
      for (let k = 0; k < 1030; k++) {
        const expected = [writer.nextPageId(), writer.nextPageId(5)];
        const pageId = await writer.append(() => {});
        expect(expected[0]).toBe(pageId);
        const flat = bankOf(expected[1] ?? 0) * 1024 + pageOf(expected[1] ?? 0);
        expect(flat).toBe(k + 5);
      }
    });
  });

  it('are copied byte for byte behind themselves', async () => {
    const { storage, banks, endBytes } = await numbered(2148);

    const copy = await copyBanks(storage, banks, METADATA_START, endBytes);

    const sizeBytes = endBytes - METADATA_START;
    const both = storage.content.subarray(METADATA_START);
    expect(both.subarray(0, sizeBytes).equals(both.subarray(sizeBytes))).toBe(true);
    expect(copy.endBytes).toBe(endBytes + sizeBytes);
    expect(copy.banks).toEqual(
      banks.map((bank) => ({ ...bank, offsetBytes: bank.offsetBytes + sizeBytes })),
    );
  });
});
