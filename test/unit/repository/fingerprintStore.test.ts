import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { ContainerWriter } from '../../../src/container/write/containerWriter.ts';
import { openStorage } from '../../../src/store/folder/fileStorage.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { FingerprintMap } from '../../../src/flow/fingerprintMap.ts';
import { FingerprintIndex, writeFingerprints } from '../../../src/repository/fingerprintStore.ts';
import { BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
/** A disk whose index needs three blocks, the last one short. */
const BLOCK_COUNT = 70_000;
const disk = { diskId: 'd1', sizeBytes: BLOCK_COUNT * BLOCK_BYTES - 100 };

async function store(fingerprints: FingerprintMap): Promise<ContainerReader> {
  const file = temp.path('x.vbk');
  const storage = await openStorage(file, 'create');
  const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK_BYTES });
  await writeFingerprints(writer, writer.addFolder('top', []), disk, fingerprints);
  await writer.commit();
  await storage.close();
  return await ContainerReader.open(await openStorage(path.resolve(file), 'read'));
}

async function indexOf(reader: ContainerReader, wanted = disk): Promise<FingerprintIndex> {
  return new FingerprintIndex(reader, await reader.items(), wanted, await createBlockCodecs());
}

function mapOf(entries: readonly (readonly [number, bigint])[]): FingerprintMap {
  const map = new FingerprintMap();
  for (const [index, fingerprint] of entries) map.set(index, fingerprint);
  return map;
}

describe('the fingerprint index', () => {
  test.each([
    ['of zeros only', []],
    ['of a few blocks', [[0, 1n] as const, [513, 2n] as const]],
    ['up to the last block', [[BLOCK_COUNT - 1, 2n ** 64n - 1n] as const]],
    ['with an empty middle', [[0, 5n] as const, [BLOCK_COUNT - 1, 6n] as const]],
  ])('%s is read as it was written', async (_name, entries) => {
    const reader = await store(mapOf(entries));

    const index = await indexOf(reader);
    const [single, all] = [await index.get(BLOCK_COUNT - 1), await index.all()];
    await reader.close();

    const found = [...all.nonZeroIn(0, BLOCK_COUNT)].map((at) => [at, all.get(at)]);
    expect(found).toEqual(entries);
    expect(single).toBe(new Map(entries).get(BLOCK_COUNT - 1) ?? 0n);
  });

  test('is read in pieces, each of them once', async () => {
    const reader = await store(mapOf([[0, 5n] as const, [BLOCK_COUNT - 1, 6n] as const]));
    const index = await indexOf(reader);
    const reads: number[] = [];
    const readBlock = reader.readBlock.bind(reader);
    reader.readBlock = async (reference, codecs) => {
      reads.push(reference.index);
      return await readBlock(reference, codecs);
    };

    const found = await Promise.all([0, 1, BLOCK_COUNT / 2].map((at) => index.get(at)));
    expect(reads).toEqual([0]);
    await index.get(BLOCK_COUNT - 1);
    await reader.close();

    expect(found).toEqual([5n, 0n, 0n]);
    expect(reads).toEqual([0, 2]);
  });

  test('costs nothing where the disk is zero', async () => {
    const reader = await store(new FingerprintMap());
    const { count } = reader.store;
    await reader.close();

    expect(count).toBe(0);
  });

  test.each([
    ['another disk', { ...disk, diskId: 'd2' }],
    ['a disk of another size', { ...disk, sizeBytes: disk.sizeBytes + BLOCK_BYTES }],
  ])('is refused for %s', async (_name, wanted) => {
    const reader = await store(mapOf([[0, 1n]]));

    await expect(indexOf(reader, wanted)).rejects.toMatchObject({
      code: 'INTEGRITY_FINGERPRINT_MISMATCH',
    });
    await reader.close();
  });
});
