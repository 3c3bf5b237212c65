/** Places of items that are not disks, for damage on purpose. No test framework in here. */
import { ContainerReader, type StoredExtent } from '../../../src/container/read/containerReader.ts';
import { openStorage } from '../../../src/store/folder/fileStorage.ts';

/** The stored block with the fingerprint index of disk number `position`. */
export async function fingerprintExtent(file: string, position: number): Promise<StoredExtent> {
  const reader = await ContainerReader.open(await openStorage(file, 'read'));
  try {
    const items = await reader.items();
    const indexes = items.filter(({ path }) => /\/fingerprints_[^/]+$/.test(path));
    const item = indexes[position];
    if (!item) throw new Error(`${file}: no fingerprint index ${position}`);
    const { blockId } = await reader.fileBlock(item, 0);
    return await reader.storedExtent(blockId);
  } finally {
    await reader.close();
  }
}
