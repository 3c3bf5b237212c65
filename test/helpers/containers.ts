/** Looks into a container for tests that damage it on purpose. */
import { ContainerReader, type StoredExtent } from '../../src/container/containerReader.ts';
import { openStorage } from '../../src/container/storage.ts';

/** Where the stored blocks of a container lie. */
export async function storedExtents(file: string): Promise<StoredExtent[]> {
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

/** Where the first block with this codec lies. */
export async function firstExtent(file: string, codec: StoredExtent['codec']): Promise<number> {
  const extents = await storedExtents(file);
  return extents.find((extent) => extent.codec === codec)?.offsetBytes ?? Number.NaN;
}
