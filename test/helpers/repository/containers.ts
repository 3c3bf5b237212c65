/** Looks into a container for tests that damage it on purpose. */
import { ContainerReader, type StoredExtent } from '../../../src/container/read/containerReader.ts';
import { openStorage } from '../../../src/container/storage.ts';

/** Where the stored blocks of a container lie. */
async function storedExtents(file: string): Promise<StoredExtent[]> {
  const reader = await ContainerReader.open(await openStorage(file, 'read'));
  try {
    const extents: StoredExtent[] = [];
    for (let blockId = 0; blockId < reader.store.count; blockId++) {
      extents.push(await reader.storedExtent(blockId));
    }
    return extents;
  } finally {
    await reader.close();
  }
}

/** The first block with this codec. */
export async function firstExtent(
  file: string,
  codec: StoredExtent['codec'],
): Promise<StoredExtent> {
  const extent = (await storedExtents(file)).find((extent) => extent.codec === codec);
  if (!extent) throw new Error(`${file} holds no ${codec} block`);
  return extent;
}
