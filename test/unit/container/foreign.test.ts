/**
 * Containers as others write them: versions, compressions, kinds of blocks, and what is refused.
 */
import { describe, expect, it } from 'vitest';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { checkStructure } from '../../../src/container/read/structureCheck.ts';
import {
  blockOf,
  DISK_NAME,
  diskAfter,
  fileWithBlock,
  FOREIGN_BLOCK_BYTES,
  foreignChain,
  MACHINE_FOLDER,
  plainOf,
} from '../../helpers/bytes/foreignChains.ts';
import {
  type ForeignBlock,
  type ForeignMethod,
  type ForeignSpec,
  writeForeign,
} from '../../helpers/bytes/foreignWriter.ts';
import { MemoryStorage } from '../../helpers/bytes/memoryStorage.ts';
import { noise, wordText } from '../../helpers/bytes/random.ts';
import { itemAt, openBytes, readBlocks } from '../../helpers/bytes/smallContainers.ts';
import { expectCode } from '../../helpers/codes.ts';

const DISK_PATH = `${MACHINE_FOLDER}/${DISK_NAME}`;
const PAGE = 4096;

/** The whole disk of a file, and the problems of its structure. */
async function readDisk(content: Buffer): Promise<{ disk: Buffer; problems: string[] }> {
  const reader = await openBytes(content);
  const codecs = await createBlockCodecs();
  const item = await itemAt(reader, DISK_PATH);
  const disk = await reader.readFile(item, 1 << 30, codecs);
  return { disk, problems: await checkStructure(reader, await reader.items()) };
}

async function expectRefused(content: Buffer, text: string): Promise<void> {
  const error = await expectCode(readDisk(content), 'FORMAT_UNSUPPORTED');
  expect(error.message).toContain(text);
  expect(error.hint).toContain('the software that wrote it');
}

describe('a file of others', () => {
  it.each<[ForeignMethod]>([['plain'], ['lz4'], ['zlib'], ['zlibLow'], ['zstd'], ['zstdHigh']])(
    'with blocks of %s is read',
    async (method) => {
      const [full = Buffer.alloc(0)] = foreignChain({ method });

      const { disk, problems } = await readDisk(full);

      expect(disk.equals(diskAfter(0))).toBe(true);
      expect(problems).toEqual([]);
    },
  );

  it.each([9, 10, 11, 12, 13])('of version %i is read', async (version) => {
    const [full = Buffer.alloc(0)] = foreignChain({ version });

    const { disk, problems } = await readDisk(full);

    expect(disk.equals(diskAfter(0))).toBe(true);
    expect(problems).toEqual([]);
  });

  it.each([0, 1, 3])('with cluster align %i is read', async (clusterAlign) => {
    const [full = Buffer.alloc(0)] = foreignChain({ clusterAlign });

    expect((await readDisk(full)).disk.equals(diskAfter(0))).toBe(true);
  });

  it.each([256 * 1024, 8 * 1024 * 1024])('with blocks of %i B is read', async (blockSizeBytes) => {
    const plain = wordText(3, blockSizeBytes);
    const content = fileWithBlock({ plain, method: 'zlib' }, { blockSizeBytes });

    expect((await readDisk(content)).disk.equals(plain)).toBe(true);
  });

  it('may store more bytes than the plain ones', async () => {
    const plain = noise('plain', FOREIGN_BLOCK_BYTES);
    const content = fileWithBlock({ plain, method: 'zlibLow' });
    const reader = await openBytes(content);

    const { storedBytes, sourceBytes } = await reader.storedExtent(0);

    expect(storedBytes).toBeGreaterThan(sourceBytes);
    expect((await readDisk(content)).disk.equals(plain)).toBe(true);
  });

  it('with far too many stored bytes is refused', async () => {
    const plain = plainOf(1);
    const stored = Buffer.alloc(3 * FOREIGN_BLOCK_BYTES, 1);
    const content = fileWithBlock({ plain, method: 'zlib', stored });

    await expectCode(readDisk(content), 'FORMAT_BOUNDS');
  });

  it.each<[string, ForeignBlock, string]>([
    ['RLE', { plain: plainOf(1), method: 'rle', stored: plainOf(1) }, 'RLE'],
    ['an unknown method', { plain: plainOf(1), method: 5, stored: plainOf(1) }, 'method 5'],
    ['a key in the store', { ...blockOf(1, 'zlib'), keyIn: 'store' }, 'encrypted'],
    ['a key in the map', { ...blockOf(1, 'zlib'), keyIn: 'map' }, 'encrypted'],
    ['type 2', { ...blockOf(1, 'zlib'), type: 2 }, 'reserved'],
    ['type 3', { ...blockOf(1, 'zlib'), type: 3 }, 'archived'],
    ['type 4', { ...blockOf(1, 'zlib'), type: 4 }, 'blob'],
    ['type 5', { ...blockOf(1, 'zlib'), type: 5 }, 'blob'],
  ])('with a block of %s is refused by name', async (_name, block, text) => {
    await expectRefused(fileWithBlock(block), text);
  });

  it.each([8, 7, 14, 0x10008])('of version %i is refused by name', async (version) => {
    await expectRefused(fileWithBlock(blockOf(1, 'plain'), { version }), `version ${version}`);
  });

  it('with an encrypted bank is refused by name', async () => {
    const content = fileWithBlock(blockOf(1, 'plain'), { isBankEncrypted: true });

    await expectRefused(content, 'encrypted');
  });

  it('with an unknown type of block is damaged', async () => {
    const content = fileWithBlock({ ...blockOf(1, 'zlib'), type: 77 });

    await expectCode(readDisk(content), 'FORMAT_BOUNDS');
  });

  it.each<[string, Buffer, ForeignMethod]>([
    ['zlib', blockOf(2, 'zstd').stored as Buffer, 'zlib'],
    ['zstd', plainOf(2), 'zstd'],
    ['zstd of another block', blockOf(2, 'zstd').stored as Buffer, 'zstd'],
  ])('with a damaged stream of %s is damaged', async (name, stored, method) => {
    const content = fileWithBlock({ plain: plainOf(1), method, stored });
    const isOther = name.endsWith('another block');

    const code = isOther ? 'INTEGRITY_DIGEST_MISMATCH' : 'INTEGRITY_DECODE_FAILED';
    await expectCode(readDisk(content), code);
  });
});

/** A disk of so many blocks that every kind of vector has several pages. */
function largeSpec(spec: Partial<ForeignSpec> = {}): ForeignSpec {
  const blockSizeBytes = 512;
  const blocks = new Map(
    Array.from({ length: 1200 }, (_, k) => [k, { plain: noise(k, blockSizeBytes) }] as const),
  );
  const sizeBytes = 1200 * blockSizeBytes;
  const disk = { name: DISK_NAME, kind: 'file', sizeBytes, blocks } as const;
  const items = [disk];
  const folders = [
    { name: MACHINE_FOLDER, items },
    ...Array.from({ length: 30 }, (_, k) => ({ name: `folder ${k}`, items: [] })),
  ];
  return { version: 9, blockSizeBytes, clusterAlign: 0, folders, ...spec };
}

function largeDisk(): Buffer {
  return Buffer.concat(Array.from({ length: 1200 }, (_, k) => noise(k, 512)));
}

describe('a file of version 9', () => {
  it('with lists of several pages is read', async () => {
    const { disk, problems } = await readDisk(writeForeign(largeSpec()));

    expect(disk.equals(largeDisk())).toBe(true);
    expect(problems).toEqual([]);
  });

  it('gives single blocks of its map', async () => {
    const reader = await openBytes(writeForeign(largeSpec()));
    const item = await itemAt(reader, DISK_PATH);
    const codecs = await createBlockCodecs();

    for (const index of [0, 87, 88, 176, 1087, 1088, 1199]) {
      const block = await reader.readBlock(await reader.fileBlock(item, index), codecs);
      expect(block.equals(noise(index, 512))).toBe(true);
    }
  });

  it.each([248, 2976, 0x7f00, 0xffa0])('with room for %i banks is read', async (maxBanks) => {
    const [full = Buffer.alloc(0)] = foreignChain({ version: 9, maxBanks });

    expect((await readDisk(full)).disk.equals(diskAfter(0))).toBe(true);
  });

  it('with checksums of zlib is read', async () => {
    const [full = Buffer.alloc(0)] = foreignChain({ version: 9, hasOldChecksums: true });

    expect((await readDisk(full)).disk.equals(diskAfter(0))).toBe(true);
  });

  it('of version 13 with checksums of zlib is not read', async () => {
    const [full = Buffer.alloc(0)] = foreignChain({ hasOldChecksums: true });

    await expectCode(readDisk(full), 'INTEGRITY_CRC_MISMATCH');
  });

  it.each([
    ['its checksum', 0],
    ['its room for banks', 0x74],
  ])('is read from the second slot when the first is damaged in %s', async (_name, at) => {
    const [full = Buffer.alloc(0)] = foreignChain({ version: 9 });
    full.writeUInt32LE(12, PAGE + at);
    const reader = await openBytes(full);

    expect(reader.snapshot.slotNumber).toBe(2);
    expect(reader.snapshot.damage).toHaveLength(1);
    expect((await readDisk(full)).disk.equals(diskAfter(0))).toBe(true);
  });

  it.each([
    ['ends early', (page: Buffer) => page.fill(0xff, 0, 8)],
    ['leads back', (page: Buffer) => page.writeBigUInt64LE(1n, 0)],
    ['leads nowhere', (page: Buffer) => page.writeBigUInt64LE(900n, 0)],
  ])('whose list of blocks %s is damaged', async (_name, edit) => {
    const content = writeForeign(largeSpec());
    const sound = await openBytes(content);
    const changed = await withPage(content, sound.snapshot.slot.roots.storeRoot, edit);

    await expect(ContainerReader.open(changed)).rejects.toMatchObject({
      code: expect.stringMatching(/^FORMAT_(STRUCTURE|BOUNDS)$/),
    });
  });
});

/**
 * Edits a page of the bank without its checksum being wrong: a storage that changes what is read.
 */
async function withPage(
  content: Buffer,
  pageId: number,
  edit: (page: Buffer) => void,
): Promise<MemoryStorage> {
  const reader = await openBytes(content);
  const [bank] = reader.snapshot.slot.banks;
  const at = (bank?.offsetBytes ?? 0) + (pageId + 1) * PAGE;
  class Edited extends MemoryStorage {
    override async read(target: Uint8Array, offsetBytes: number): Promise<void> {
      await super.read(target, offsetBytes);
      // Whole banks are read for their checksum, in pieces that begin with the header page.
      const isChunk = target.length === 16 * PAGE;
      const place = at - offsetBytes;
      if (!isChunk || place < 0 || place >= target.length) return;
      edit(Buffer.from(target.buffer, target.byteOffset + place, PAGE));
    }
  }
  return new Edited(content);
}

describe('an increment of others', () => {
  it.each([9, 13])('of version %i gives its changes', async (version) => {
    const [, first = Buffer.alloc(0)] = foreignChain({ version, method: 'zstd' });
    const reader = await openBytes(first);
    const item = await itemAt(reader, DISK_PATH);

    const changes = await readBlocks(reader, item, await createBlockCodecs());

    expect([...changes.keys()]).toEqual([1, 3]);
    expect(plainOf(4).equals(changes.get(1) as Buffer)).toBe(true);
    expect(changes.get(3)).toBe('zero');
    expect(await checkStructure(reader, await reader.items())).toEqual([]);
  });
});
