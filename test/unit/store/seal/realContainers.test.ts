/** Containers of the product, written and read through a sealed store. */
import { open } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { PRODUCTION_SLOT_FORMAT, slotOffsetOf } from '../../../../src/container/format/layout.ts';
import { ContainerReader } from '../../../../src/container/read/containerReader.ts';
import { ContainerWriter } from '../../../../src/container/write/containerWriter.ts';
import { openStorage } from '../../../../src/container/storage.ts';
import { KeyRing, newRepositoryKey } from '../../../../src/store/seal/keys.ts';
import { SealedReader } from '../../../../src/store/seal/sealedReader.ts';
import { SealedWriter } from '../../../../src/store/seal/sealedWriter.ts';
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
  const storage = Object.assign(new MemoryStorage(), { canReadBack: true });
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

  it('reads back equal over files, written past the page cache where it can be', async () => {
    const keys = new KeyRing([newRepositoryKey()]);
    const place = { file: NAME, folder: 'web', fileName: NAME };
    const file = temp.path(NAME);
    const below = Object.assign(await openStorage(file, 'create'), { canReadBack: true });
    const writer = await SealedWriter.create(below, keys, place);
    await write(writer);
    await writer.close();
    const again = Object.assign(await openStorage(file, 'read'), { canReadBack: true });
    const reader = await SealedReader.open(again, keys, place);

    expect(await contentsOf(reader)).toEqual(await plainContents(1));
    await reader.close();
    const handle = await open(file);
    const { size, blocks } = await handle.stat();
    await handle.close();
    expect(blocks * 512, 'no hole in the file').toBeGreaterThanOrEqual(size);
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
      [8, 9],
      [16, 17],
    ]);
  });
});
