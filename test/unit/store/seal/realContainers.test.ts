/** Containers of the product, written and read through a sealed store. */
import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PRODUCTION_SLOT_FORMAT, slotOffsetOf } from '../../../../src/container/format/layout.ts';
import { ContainerReader } from '../../../../src/container/read/containerReader.ts';
import { ContainerWriter } from '../../../../src/container/write/containerWriter.ts';
import { KeyRing, newRepositoryKey } from '../../../../src/store/seal/keys.ts';
import { sealStore } from '../../../../src/store/seal/sealStore.ts';
import { DiskStore } from '../../../../src/store/folder/diskStore.ts';
import { chunkAt, sealedStartOf } from '../../../../src/store/seal/sealFormat.ts';
import type { Storage } from '../../../../src/store/storage.ts';
import { MemoryStorage } from '../../../helpers/bytes/memoryStorage.ts';
import { noise, prose } from '../../../helpers/bytes/random.ts';
import {
  addDisk,
  contentsOf,
  createPacker,
  fileOf,
  FOLDER,
} from '../../../helpers/bytes/smallContainers.ts';
import {
  FOLDER_NAME,
  putContainer,
  type SealedPair,
  sealedPair,
} from '../../../helpers/repository/sealedStores.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const NAME = 'web.vbk';
const BLOCK_BYTES = 256 * 1024;
const DISK = fileOf(
  'disk',
  Buffer.concat([prose(1, 3 * BLOCK_BYTES), noise(2, 3 * BLOCK_BYTES + 77), Buffer.alloc(5000)]),
  BLOCK_BYTES,
);
const temp = useTempFolder();

async function write(storage: Storage, versions = 1): Promise<void> {
  const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK_BYTES });
  const packer = await createPacker(BLOCK_BYTES);
  const folder = writer.addFolder(FOLDER, []);
  for (let version = 0; version < versions; version++) {
    await addDisk(writer, folder, packer, { ...DISK, name: `disk ${version}` });
    await writer.commit();
  }
}

async function plainContents(versions: number): Promise<string[]> {
  const storage = new MemoryStorage();
  await write(storage, versions);
  return await contentsOf(storage);
}

async function sealedContents({ sealed }: SealedPair): Promise<string[]> {
  return await contentsOf(await sealed.openContainer(NAME));
}

describe('a container of the product', () => {
  it.each([1, 2, 3])('with %d commits reads back equal', async (versions) => {
    const pair = sealedPair();
    await putContainer(pair.sealed, NAME, (storage) => write(storage, versions));

    expect(await sealedContents(pair)).toEqual(await plainContents(versions));
    expect(pair.base.contentOf(NAME).includes('disk')).toBe(false);
  });

  it('reads back equal from a folder, and its file has no hole', async () => {
    const store = new DiskStore(temp.path('repository'));
    await store.make();
    await store.makeFolder(FOLDER_NAME);
    const keys = new KeyRing([newRepositoryKey()]);
    const sealed = sealStore(store, keys).folder(FOLDER_NAME);
    await putContainer(sealed, NAME, (storage) => write(storage));
    const { size, blocks } = statSync(sealed.pathOf(NAME));

    expect(await contentsOf(await sealed.openContainer(NAME))).toEqual(await plainContents(1));
    expect(await sealed.containerNames()).toEqual([NAME]);
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
  });

  it.each([0, 1])('is read although snapshot slot %d is torn', async (slot) => {
    const pair = sealedPair();
    await putContainer(pair.sealed, NAME, (storage) => write(storage));
    const torn = Buffer.from(pair.base.contentOf(NAME));
    const startBytes = sealedStartOf(chunkAt(slotOffsetOf(PRODUCTION_SLOT_FORMAT, slot)));
    noise('torn', 512).copy(torn, startBytes + 100);
    pair.base.put(NAME, torn);
    const reader = await ContainerReader.open(await pair.sealed.openContainer(NAME));

    expect(reader.snapshot.slotNumber).toBe(slot === 0 ? 2 : 1);
    expect(reader.snapshot.damage).toEqual([`snapshot slot ${slot + 1}: unreadable`]);
    expect(await sealedContents(pair)).toEqual(await plainContents(1));
  });

  it('begins each snapshot slot in a chunk of its own', () => {
    const starts = [0, 1, 2].map((slot) => slotOffsetOf(PRODUCTION_SLOT_FORMAT, slot));
    const chunks = starts.map((at) => [chunkAt(at - 1), chunkAt(at)]);

    expect(chunks).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
  });
});
