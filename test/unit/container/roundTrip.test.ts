import { describe, expect, it } from 'vitest';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { ContainerWriter } from '../../../src/container/write/containerWriter.ts';
import { PAGE_BYTES, TABLE_BLOCKS } from '../../../src/container/format/layout.ts';
import { KIB, MIB } from '../../../src/core/units.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { expectCode } from '../../helpers/codes.ts';
import { MemoryStorage } from '../../helpers/bytes/memoryStorage.ts';
import { noise, prose } from '../../helpers/bytes/random.ts';
import {
  addDisk,
  createPacker,
  type DiskSpec,
  fileOf,
  FOLDER,
  hashesOf,
  incrementOf,
  itemAt,
  readBlocks,
  readRange,
  writeContainer,
} from '../../helpers/bytes/smallContainers.ts';

const BLOCK = 4096;
const DISK = `${FOLDER}/disk`;

/** Text, noise, zeros, text again, and a short tail. */
function mixedContent(blockSizeBytes: number): Buffer {
  const text = prose(1, blockSizeBytes);
  const zeros = Buffer.alloc(blockSizeBytes);
  return Buffer.concat([text, noise(2, blockSizeBytes), zeros, text, noise(3, 777)]);
}

async function writeDisk(disk: DiskSpec, blockSizeBytes: number, slotFormat = 0) {
  const storage = await writeContainer({ blockSizeBytes, slotFormat, disks: [disk] });
  const reader = await ContainerReader.open(storage);
  return { storage, reader, item: await itemAt(reader, DISK) };
}

describe('written container', () => {
  it.each([256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB])(
    'gives back a file in blocks of %i bytes',
    async (blockSizeBytes) => {
      const content = mixedContent(blockSizeBytes);

      const disk = fileOf('disk', content, blockSizeBytes);
      const { reader, item } = await writeDisk(disk, blockSizeBytes, 9);

      const codecs = await createBlockCodecs();
      expect((await reader.readFile(item, content.length, codecs)).equals(content)).toBe(true);
    },
  );

  it.each([0, 5, 9])('is complete and at rest with slot format %i', async (slotFormat) => {
    const content = mixedContent(BLOCK);

    const { storage, reader, item } = await writeDisk(
      fileOf('disk', content, BLOCK),
      BLOCK,
      slotFormat,
    );

    const { snapshot } = reader;
    expect(await reader.readFile(item, content.length, await createBlockCodecs())).toEqual(content);
    expect(snapshot.slots.map(({ state, version }) => [state, version])).toEqual([
      ['valid', 1],
      ['valid', 1],
    ]);
    expect([snapshot.damage, snapshot.slotNumber]).toEqual([[], 1]);
    expect(reader.endBytes).toBe(storage.content.length);
  });

  it('stores text as LZ4 and noise plain', async () => {
    const { reader, item } = await writeDisk(fileOf('disk', mixedContent(65_536), 65_536), 65_536);
    const codecs: string[] = [];

    for await (const { blockId } of reader.references(item)) {
      codecs.push((await reader.storedExtent(blockId)).codec);
    }

    expect(codecs).toEqual(['lz4', 'plain', 'lz4', 'plain']);
  });

  it('stores equal blocks of two disks once and counts their uses', async () => {
    const content = Buffer.concat([noise(1, BLOCK), noise(1, BLOCK), noise(2, BLOCK)]);
    const disks = ['disk', 'other'].map((name) => fileOf(name, content, BLOCK));

    const reader = await ContainerReader.open(
      await writeContainer({ blockSizeBytes: BLOCK, disks }),
    );

    const usage = [
      (await reader.storeBlock(0)).usageCount,
      (await reader.storeBlock(1)).usageCount,
    ];
    expect([reader.store.count, ...usage]).toEqual([2, 4, 2]);
  });

  it('pads stored blocks with zeros to whole clusters', async () => {
    const { storage, reader } = await writeDisk(fileOf('disk', noise(4, 5000), 8192), 8192);

    const { offsetBytes, storedBytes } = await reader.storedExtent(0);

    const padding = storage.content.subarray(offsetBytes + storedBytes, offsetBytes + 8192);
    expect([storedBytes, padding.length]).toEqual([5000, 3192]);
    expect(padding.every((byte) => byte === 0)).toBe(true);
  });

  it('gives back every slot of the slab', async () => {
    const packer = await createPacker(BLOCK);
    const writer = await ContainerWriter.create(new MemoryStorage(), { blockSizeBytes: BLOCK });
    const disk = fileOf('disk', mixedContent(BLOCK), BLOCK);

    await addDisk(writer, writer.addFolder(FOLDER, []), packer, disk);
    await writer.drain();

    expect(packer.slab.inUseCount).toBe(0);
  });

  it('keeps an empty file and an empty folder', async () => {
    const { reader, item } = await writeDisk(fileOf('disk', Buffer.alloc(0), BLOCK), BLOCK);

    expect([item.record.sizeBytes, item.record.count]).toEqual([0, 0]);
    expect(await readBlocks(reader, item, await createBlockCodecs())).toEqual(new Map());
  });

  it('keeps folder properties, item properties and nested order', async () => {
    const properties = [{ name: 'LogicalSectorSize', type: 'UInt64', value: 512n }] as const;
    const folderProperties = [{ name: 'RestorePointNumber', type: 'UInt32', value: 1 }] as const;
    const disks = ['b', 'a', 'c'].map((name) => ({
      ...fileOf(name, noise(1, 10), BLOCK),
      properties,
    }));

    const spec = { blockSizeBytes: BLOCK, folderProperties, disks };
    const items = await (await ContainerReader.open(await writeContainer(spec))).items();

    expect(items.map((item) => item.path)).toEqual([
      FOLDER,
      ...['b', 'a', 'c'].map((n) => `${FOLDER}/${n}`),
    ]);
    expect(items[0]?.properties).toEqual(folderProperties);
    expect(items[2]?.properties).toEqual(properties);
  });

  it('keeps a dictionary over several pages', async () => {
    const value = Uint8Array.from(noise(6, 20_000));
    const properties = [{ name: 'Big', type: 'Binary', value }] as const;

    const { item } = await writeDisk({ ...fileOf('disk', noise(1, 5), BLOCK), properties }, BLOCK);

    expect(item.properties).toEqual(properties);
  });

  it('keeps a file from memory plain and outside the deduplication index', async () => {
    const storage = new MemoryStorage();
    const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK, slotFormat: 0 });
    const folder = writer.addFolder(FOLDER, []);
    const text = prose(1, 10_000);
    const blockAt = (index: number): Buffer => text.subarray(index * BLOCK, (index + 1) * BLOCK);

    const common = { sizeBytes: text.length };
    await writer.addContent(folder, { name: 'summary.xml', compress: false, ...common }, blockAt);
    await writer.addContent(folder, { name: 'copy.bin', compress: true, ...common }, blockAt);
    await writer.commit();

    const reader = await ContainerReader.open(storage);
    const codecs = await createBlockCodecs();
    for (const name of ['summary.xml', 'copy.bin']) {
      const item = await itemAt(reader, `${FOLDER}/${name}`);
      expect(await reader.readFile(item, text.length, codecs), name).toEqual(text);
    }
    const first = await reader.storeBlock(0);
    expect([first.compression, first.isDeduplicated, first.usageCount]).toEqual([-1, false, 1]);
  });

  it('refuses to read a file above the limit of the caller', async () => {
    const { reader, item } = await writeDisk(fileOf('disk', noise(1, 100), BLOCK), BLOCK);

    await expectCode(reader.readFile(item, 99, await createBlockCodecs()), 'FORMAT_BOUNDS');
  });
});

describe('sparse file map', () => {
  it('leaves out tables without data and reads them as zeros', async () => {
    const [first, last] = [5, 3 * TABLE_BLOCKS + 1];
    const sizeBytes = (last + 1) * BLOCK - 100;
    const tail = noise(2, BLOCK - 100);
    const blocks = new Map([
      [first, noise(1, BLOCK)],
      [last, tail],
    ]);

    const { reader, item } = await writeDisk(
      { name: 'disk', kind: 'file', sizeBytes, blocks },
      BLOCK,
    );

    const read = await readBlocks(reader, item, await createBlockCodecs());
    expect(read).toEqual(blocks);
    const between = { offsetBytes: 2 * TABLE_BLOCKS * BLOCK, lengthBytes: BLOCK };
    expect(await readRange(reader, item, between)).toEqual(Buffer.alloc(BLOCK));
    const end = { offsetBytes: sizeBytes - 10, lengthBytes: 10 };
    expect(await readRange(reader, item, end)).toEqual(tail.subarray(-10));
  });

  it('is read in order when its vector has more than 2040 data pages', async () => {
    const blockSizeBytes = 512;
    const perPage = Math.floor(PAGE_BYTES / 24);
    const blocks = new Map(
      [0, 509, 510, 2039, 2040, 2041, 2099].map((page) => {
        const index = page * perPage * TABLE_BLOCKS + page;
        return [index, noise(page, blockSizeBytes)] as const;
      }),
    );
    const sizeBytes = 2100 * perPage * TABLE_BLOCKS * blockSizeBytes;

    const { reader, item } = await writeDisk(
      { name: 'disk', kind: 'file', sizeBytes, blocks },
      blockSizeBytes,
    );

    const codecs = await createBlockCodecs();
    for (const [index, bytes] of blocks) {
      const reference = await reader.fileBlock(item, index);
      expect(await reader.readBlock(reference, codecs), `block ${index}`).toEqual(bytes);
    }
    expect(await readBlocks(reader, item, codecs)).toEqual(blocks);
  });
});

describe('increment', () => {
  it('gives back changed blocks, zeros and a short tail', async () => {
    const blocks = [
      [3, noise(1, BLOCK)],
      [4, Buffer.alloc(BLOCK)],
      [9000, prose(2, BLOCK)],
      [9001, noise(3, 10)],
    ] as const;
    const increment = incrementOf('disk', 9001 * BLOCK + 10, blocks);

    const { reader, item } = await writeDisk(increment, BLOCK);

    const expected = blocks.map(([index, bytes]) => [index, index === 4 ? 'zero' : bytes]);
    expect([...(await readBlocks(reader, item, await createBlockCodecs()))]).toEqual(expected);
    expect(item.record.patchedBytes).toBe(3 * BLOCK + 10);
    expect(item.kind).toBe('increment');
  });

  it('may have no records', async () => {
    const { reader, item } = await writeDisk(incrementOf('disk', 100 * BLOCK, []), BLOCK);

    expect(await readBlocks(reader, item, await createBlockCodecs())).toEqual(new Map());
    expect([item.record.sizeBytes, item.record.count]).toEqual([100 * BLOCK, 0]);
  });

  it('keeps records over several pages', async () => {
    const blocks = Array.from({ length: 500 }, (_, k) => [2 * k, noise(k, 512)] as const);

    const { reader, item } = await writeDisk(incrementOf('disk', 512_000, blocks), 512);

    const read = await readBlocks(reader, item, await createBlockCodecs());
    expect(hashesOf(read)).toEqual(hashesOf(new Map(blocks)));
  });
});
