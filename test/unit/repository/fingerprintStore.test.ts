import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { ContainerWriter } from '../../../src/container/write/containerWriter.ts';
import { openStorage } from '../../../src/container/storage.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { FingerprintMap } from '../../../src/flow/fingerprintMap.ts';
import { readFingerprints, writeFingerprints } from '../../../src/repository/fingerprintStore.ts';
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

    const read = await readFingerprints(
      reader,
      await reader.items(),
      disk,
      await createBlockCodecs(),
    );
    await reader.close();

    const found = [...read.nonZeroIn(0, BLOCK_COUNT)].map((index) => [index, read.get(index)]);
    expect(found).toEqual(entries);
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

    const read = readFingerprints(reader, await reader.items(), wanted, await createBlockCodecs());

    await expect(read).rejects.toMatchObject({ code: 'INTEGRITY_FINGERPRINT_MISMATCH' });
    await reader.close();
  });
});
