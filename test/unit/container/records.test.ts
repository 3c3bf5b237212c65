import { describe, expect, it } from 'vitest';
import {
  DIRECTORY_ITEM_BYTES,
  FIB_BLOCK_BYTES,
  ITEM_FILE,
  ITEM_FOLDER,
  ITEM_INCREMENT,
  makePageId,
  NO_PAGE,
  PATCH_BLOCK_BYTES,
  readPageId,
  readSize,
  STORE_BLOCK_BYTES,
  TABLE_DESCRIPTOR_BYTES,
  viewOf,
  writePageId,
  writeSize,
} from '../../../src/container/format/layout.ts';
import {
  type BlockReference,
  decodeDirectoryItem,
  decodeFibBlock,
  decodePatchBlock,
  decodeStoreBlock,
  decodeTableDescriptor,
  type DirectoryItem,
  encodeDirectoryItem,
  encodeFibBlock,
  encodePatchBlock,
  encodeStoreBlock,
  encodeTableDescriptor,
  codecOf,
  compressionName,
  type BlockStoreRow,
  ZERO_BLOCK_ID,
} from '../../../src/container/format/records.ts';

const DIGEST = Uint8Array.from({ length: 16 }, (_, k) => 0xf0 + k);

function written(lengthBytes: number, encode: (out: Buffer) => void): Buffer {
  const record = Buffer.alloc(lengthBytes);
  encode(record);
  return record;
}

describe('page ids and sizes', () => {
  it.each([NO_PAGE, 0, 1023, makePageId(1, 0), makePageId(32_511, 1023)])(
    'keeps the page id %i',
    (pageId) => {
      const record = written(8, (out) => writePageId(viewOf(out), 0, pageId));

      expect(readPageId(viewOf(record), 0)).toBe(pageId);
    },
  );

  it('reads any other negative page id as NaN', () => {
    for (const hex of ['feffffffffffffff', '00000000ffffffff', '0000000000000080']) {
      expect(readPageId(viewOf(Buffer.from(hex, 'hex')), 0)).toBeNaN();
    }
  });

  it.each([0, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER])('keeps the size %i', (value) => {
    const record = written(8, (out) => writeSize(viewOf(out), 0, value));

    expect(readSize(viewOf(record), 0)).toBe(value);
    expect(record.readBigUInt64LE()).toBe(BigInt(value));
  });

  it('reads a size above 2^53 - 1 as NaN', () => {
    for (const hex of ['0000000000002000', 'ffffffffffffffff']) {
      expect(readSize(viewOf(Buffer.from(hex, 'hex')), 0)).toBeNaN();
    }
  });
});

describe('block store record', () => {
  const block: BlockStoreRow = {
    usageCount: 3,
    offsetBytes: 2 ** 40 + 4096,
    allocatedBytes: 8192,
    isDeduplicated: true,
    digest: DIGEST,
    compression: 7,
    storedBytes: 5000,
    sourceBytes: 1_048_576,
  };

  it.each([
    ['LZ4', block],
    ['plain', { ...block, compression: -1, isDeduplicated: false }],
  ])('is kept for a block stored %s', (_form, value) => {
    const record = written(STORE_BLOCK_BYTES, (out) => encodeStoreBlock(value, out));

    expect(decodeStoreBlock(record)).toEqual(value);
  });

  it('lies as documented', () => {
    const record = written(STORE_BLOCK_BYTES, (out) => encodeStoreBlock(block, out));

    expect(record.toString('hex')).toBe(
      `0403000000001000000001000000200000 01 ${Buffer.from(DIGEST).toString('hex')}
       07 00 88130000 00001000 ${'00'.repeat(16)}`.replaceAll(/\s/g, ''),
    );
  });

  it('is undefined for another format', () => {
    expect(decodeStoreBlock(Buffer.alloc(STORE_BLOCK_BYTES, 5))).toBeUndefined();
  });

  it('is expanded by the codec of its method', () => {
    const methods = [-1, 0, 2, 3, 4, 5, 7, 8, 9, 10];
    const none = undefined;

    expect(methods.map((method) => codecOf(method))).toEqual([
      'plain',
      none,
      none,
      'zlib',
      'zlib',
      none,
      'lz4',
      'zstd',
      'zstd',
      none,
    ]);
    expect([2, 5, 9].map((method) => compressionName(method))).toEqual(['RLE', 'method 5', 'zstd']);
  });
});

describe('file map and patch records', () => {
  const stored: BlockReference = {
    index: 1087,
    lengthBytes: 300,
    blockId: 2 ** 33,
    digest: DIGEST,
  };
  const zero: BlockReference = { ...stored, blockId: ZERO_BLOCK_ID };

  it.each([stored, zero])('keeps a file map record of block id $blockId', (reference) => {
    const record = written(FIB_BLOCK_BYTES, (out) => encodeFibBlock(reference, out));

    expect(decodeFibBlock(record, reference.index)).toEqual(reference);
  });

  it.each([stored, zero])('keeps a patch record of block id $blockId', (reference) => {
    const record = written(PATCH_BLOCK_BYTES, (out) => encodePatchBlock(reference, out));

    expect(decodePatchBlock(record)).toEqual(reference);
  });

  it('marks zeros by type 1 with block id 0', () => {
    const record = written(FIB_BLOCK_BYTES, (out) => encodeFibBlock(zero, out));

    expect([record[4], record.readBigUInt64LE(0x15)]).toEqual([1, 0n]);
  });

  it('puts the block index of a patch at 0x1d', () => {
    const record = written(PATCH_BLOCK_BYTES, (out) => encodePatchBlock(stored, out));

    expect(record.readBigUInt64LE(0x1d)).toBe(1087n);
  });

  it.each([2, 3, 4, 5, 255])('is undefined for the block type %i', (type) => {
    const record = written(PATCH_BLOCK_BYTES, (out) => encodePatchBlock(stored, out));
    record[4] = type;

    expect(decodeFibBlock(record, 0)).toBeUndefined();
    expect(decodePatchBlock(record)).toBeUndefined();
  });

  it.each([
    { vectorRoot: makePageId(3, 9), blockSizeBytes: 1_048_576, blockCount: 1088 },
    { vectorRoot: NO_PAGE, blockSizeBytes: 1_048_576, blockCount: 0 },
  ])('keeps a table descriptor of $blockCount blocks', (table) => {
    const record = written(TABLE_DESCRIPTOR_BYTES, (out) => encodeTableDescriptor(table, out));

    expect(decodeTableDescriptor(record)).toEqual(table);
  });
});

describe('directory item', () => {
  const folder: DirectoryItem = {
    type: ITEM_FOLDER,
    name: 'a folder',
    propertiesRoot: NO_PAGE,
    vectorRoot: makePageId(0, 3),
    count: 2 ** 33,
    sizeBytes: 0,
    patchedBytes: 0,
  };
  const file: DirectoryItem = {
    ...folder,
    type: ITEM_FILE,
    name: 'ä'.repeat(64),
    propertiesRoot: makePageId(2, 7),
    sizeBytes: 2 ** 45 + 1,
  };
  const increment: DirectoryItem = { ...file, type: ITEM_INCREMENT, patchedBytes: 2 ** 34 };

  it.each([folder, file, increment])('is kept for type $type', (item) => {
    const record = written(DIRECTORY_ITEM_BYTES, (out) => encodeDirectoryItem(item, out));

    expect(decodeDirectoryItem(record)).toEqual(item);
  });

  it('ignores stale bytes behind the name', () => {
    const record = written(DIRECTORY_ITEM_BYTES, (out) => encodeDirectoryItem(folder, out));
    record.fill(0xaa, 0x08 + folder.name.length, 0x88);

    expect(decodeDirectoryItem(record)?.name).toBe(folder.name);
  });

  it.each([0, 129, 0xffff_ffff])('is undefined for a name of %i bytes', (nameBytes) => {
    const record = written(DIRECTORY_ITEM_BYTES, (out) => encodeDirectoryItem(folder, out));
    record.writeUInt32LE(nameBytes, 4);

    expect(decodeDirectoryItem(record)).toBeUndefined();
  });
});
