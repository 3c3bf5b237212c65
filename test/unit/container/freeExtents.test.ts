/**
 * Containers of other programs may hold free extents. This writer makes none, so they are forged
 * here.
 */
import { describe, expect, it } from 'vitest';
import { encodeStoreBlock } from '../../../src/container/format/records.ts';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { checkStructure } from '../../../src/container/read/structureCheck.ts';
import { ContainerWriter } from '../../../src/container/write/containerWriter.ts';
import { expectCode } from '../../helpers/codes.ts';
import { Forgery } from '../../helpers/bytes/forgery.ts';
import { MemoryStorage } from '../../helpers/bytes/memoryStorage.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { addDisk, createPacker, fileOf, FOLDER } from '../../helpers/bytes/smallContainers.ts';

const BLOCK = 4096;
/** Stored block that becomes free. */
const FREED = 3;

/** A disk of three blocks, and a fourth stored block that no map uses, as a free extent. */
async function forgeFreeExtent(freeRecords: readonly (readonly [number, number])[]) {
  const storage = new MemoryStorage();
  const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK, slotFormat: 0 });
  const packer = await createPacker(BLOCK);
  const disk = fileOf('disk', Buffer.concat([1, 2, 3].map((k) => noise(k, BLOCK))), BLOCK);
  await addDisk(writer, writer.addFolder(FOLDER, []), packer, disk);
  const packed = await packer.pack(0, noise(9, BLOCK));
  // The greatest digest is the last one in the index, where it can be cut off.
  writer.append({ ...packed, digest: Buffer.alloc(16, 0xff) });
  const { offsetBytes, allocatedBytes } = writer.store.record(FREED);
  await writer.commit();
  const forgery = new Forgery(storage.content);
  const { storeRoot, freeRoot, dedupRoot } = forgery.roots;
  const row = {
    usageCount: 0,
    offsetBytes,
    allocatedBytes,
    isDeduplicated: false,
    digest: Buffer.alloc(16),
    compression: 0,
    storedBytes: 0,
    sourceBytes: 0,
  };
  return forgery
    .editPage(forgery.dataPage(storeRoot), (page) => {
      encodeStoreBlock(row, page.subarray(FREED * 60, (FREED + 1) * 60));
    })
    .editPage(dedupRoot, (page) => page.writeUInt32LE(page.readUInt32LE(0) - 1, 0))
    .editPage(freeRoot, (page) => {
      page.writeUInt32LE(freeRecords.length, 0);
      page.fill(0xff, 4, 4 + 8 + 20 * freeRecords.length);
      for (const [k, [allocated, blockId]] of freeRecords.entries()) {
        page.writeUInt32LE(allocated, 12 + 20 * k);
        page.writeBigUInt64LE(BigInt(blockId), 16 + 20 * k);
      }
    });
}

describe('a free extent', () => {
  it.each([
    ['in its index', [[BLOCK, FREED]], []],
    ['that its index misses', [], ['free index: 0 records, 1 expected']],
    [
      'of another size than its index says',
      [[2 * BLOCK, FREED]],
      [`free index: record 0 is not of block ${FREED}`],
    ],
  ] as const)('%s is checked', async (_title, freeRecords, problems) => {
    const reader = await ContainerReader.open((await forgeFreeExtent(freeRecords)).seal());

    expect(await checkStructure(reader, await reader.items())).toEqual(problems);
  });

  it('is not read as a block', async () => {
    const reader = await ContainerReader.open((await forgeFreeExtent([[BLOCK, FREED]])).seal());

    await expectCode(reader.storedExtent(FREED), 'FORMAT_BOUNDS');
  });
});
