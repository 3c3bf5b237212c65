import { describe, expect, it } from 'vitest';
import { FileMap, PatchList } from '../../../src/container/write/blockMaps.ts';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { checkBlockSize, ContainerWriter } from '../../../src/container/write/containerWriter.ts';
import { walkIndex } from '../../../src/container/format/indexTree.ts';
import {
  dataStartOf,
  FREE_RECORD_BYTES,
  slotOffsetOf,
} from '../../../src/container/format/layout.ts';
import { RepositoryError } from '../../../src/core/errors.ts';
import { KIB, MIB } from '../../../src/core/units.ts';
import { expectCode } from '../../helpers/errors.ts';
import { MemoryStorage } from '../../helpers/memoryStorage.ts';
import { noise } from '../../helpers/random.ts';
import { addDisk, createPacker, fileOf, FOLDER, openBytes } from '../../helpers/vbk.ts';

const BLOCK = 4096;

describe('commits', () => {
  it('list dropped blocks in the free index', async () => {
    const storage = new MemoryStorage();
    const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK, slotFormat: 0 });
    const packer = await createPacker(BLOCK);
    const disk = fileOf('disk', Buffer.concat([1, 2, 3].map((k) => noise(k, BLOCK))), BLOCK);
    await addDisk(writer, writer.addFolder(FOLDER, []), packer, disk);
    const dropped = writer.append(await packer.pack(0, noise(9, BLOCK))).blockId;
    writer.store.drop(dropped);

    await writer.commit();

    const reader = await openBytes(storage.content);
    const { pages, slot } = reader.snapshot;
    const free: Buffer[] = [];
    const readPage = (id: number) => pages.read(id);
    for await (const record of walkIndex(readPage, slot.roots.freeRoot, FREE_RECORD_BYTES)) {
      free.push(record);
    }
    expect(
      free.map((record) => [record.readUInt32LE(0), Number(record.readBigUInt64LE(4))]),
    ).toEqual([[BLOCK, dropped]]);
  });

  it('refuse to read a dropped block', async () => {
    const storage = new MemoryStorage();
    const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK, slotFormat: 0 });
    const packer = await createPacker(BLOCK);
    const dropped = writer.append(await packer.pack(0, noise(9, BLOCK))).blockId;
    writer.store.drop(dropped);
    await writer.commit();

    const reader = await openBytes(storage.content);

    await expectCode(reader.storedExtent(dropped), 'FORMAT_BOUNDS');
  });

  it('raise the version and keep what was there', async () => {
    const storage = new MemoryStorage();
    const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK, slotFormat: 0 });
    const packer = await createPacker(BLOCK);
    const folder = writer.addFolder(FOLDER, []);
    for (const name of ['disk', 'second', 'third']) {
      await addDisk(writer, folder, packer, fileOf(name, noise(1, 9 * BLOCK + 5), BLOCK));
      await writer.commit();
    }

    const reader = await ContainerReader.open(storage);

    expect(reader.snapshot.slots.map((slot) => slot.version)).toEqual([3, 3]);
    expect(await reader.items()).toHaveLength(4);
    expect(reader.endBytes).toBe(storage.content.length);
  });
});

describe('options', () => {
  it.each([256 * KIB, 8 * MIB])('accept blocks of %i bytes', (blockSizeBytes) => {
    expect(() => checkBlockSize(blockSizeBytes)).not.toThrow();
  });

  it.each([0, 128 * KIB, 16 * MIB, Number.NaN])('refuse blocks of %d bytes', async (bytes) => {
    await expectCode(() => checkBlockSize(bytes), 'USAGE_INVALID_OPTION');
  });

  it.each(['', 'a/b', 'ä', 'tab\t', 'x'.repeat(129)])('refuse the item name %j', async (name) => {
    const writer = await ContainerWriter.create(new MemoryStorage(), { blockSizeBytes: BLOCK });
    const folder = writer.addFolder('folder', []);

    await expectCode(() => writer.addFolder(name, []), 'FORMAT_BOUNDS');
    await expectCode(
      () => writer.addFile(folder, { name, sizeBytes: 0, map: new FileMap() }),
      'FORMAT_BOUNDS',
    );
    await expectCode(
      () => writer.addIncrement(folder, { name, sizeBytes: 0, patches: new PatchList() }),
      'FORMAT_BOUNDS',
    );
  });

  it.each([
    { blockSizeBytes: 1000 },
    { blockSizeBytes: 16 * MIB },
    { blockSizeBytes: BLOCK, slotFormat: 7 },
  ])('refuse the geometry %j', async (options) => {
    await expectCode(ContainerWriter.create(new MemoryStorage(), options), 'INTERNAL_INVARIANT');
  });
});

/** A storage whose writes after the snapshot slots fail from the start. */
class FullStorage extends MemoryStorage {
  override async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    if (offsetBytes >= dataStartOf(0)) throw new RepositoryError('REPOSITORY_FULL', 'no room');
    await super.write(pieces, offsetBytes);
  }
}

/**
 * A storage that refuses to write snapshot slot 1, the last write of a later commit, while
 * `isFailing`.
 */
class SlotFailingStorage extends MemoryStorage {
  isFailing = false;

  override async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const isSlot1 = offsetBytes === slotOffsetOf(0, 0);
    if (this.isFailing && isSlot1) throw new RepositoryError('REPOSITORY_IO', 'no slot');
    await super.write(pieces, offsetBytes);
  }
}

describe('failed writes', () => {
  it('surface at drain and commit, and give back every slot', async () => {
    const writer = await ContainerWriter.create(new FullStorage(), {
      blockSizeBytes: BLOCK,
      slotFormat: 0,
    });
    const packer = await createPacker(BLOCK);
    for (let k = 0; k < 5; k++) writer.append(await packer.pack(k, noise(k, BLOCK)));

    await expectCode(writer.drain(), 'REPOSITORY_FULL');
    await expectCode(writer.commit(), 'REPOSITORY_FULL');
    expect(writer.failure).toBeInstanceOf(RepositoryError);
    expect(packer.slab.inUseCount).toBe(0);
  });

  it('surface in a file from memory', async () => {
    const writer = await ContainerWriter.create(new FullStorage(), {
      blockSizeBytes: BLOCK,
      slotFormat: 0,
    });
    const folder = writer.addFolder(FOLDER, []);
    const options = { name: 'summary.xml', sizeBytes: 5, compress: false };

    await expectCode(
      writer.addContent(folder, options, () => Buffer.from('<xml>')),
      'REPOSITORY_FULL',
    );
  });

  it('of the last slot do not let later banks overwrite the commit', async () => {
    const storage = new SlotFailingStorage();
    const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK, slotFormat: 0 });
    await writer.commit();
    writer.addFolder(FOLDER, []);
    storage.isFailing = true;
    await expectCode(writer.commit(), 'REPOSITORY_IO');
    const committed = Buffer.from(storage.content);
    storage.isFailing = false;
    writer.addFolder('another folder', []);

    await writer.commit().catch(() => undefined);

    const later = storage.content.subarray(dataStartOf(0), committed.length);
    expect(later.equals(committed.subarray(dataStartOf(0)))).toBe(true);
  });
});
