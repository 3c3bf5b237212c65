/** Finds the implementation for the place of a repository. */
import { DiskStore } from './folder/diskStore.ts';
import type { Store, StoreOptions } from './store.ts';

/**
 * Opens the place of a repository. The caller closes it.
 *
 * @param place - folder, or `s3://bucket/prefix`.
 */
export async function openStore(place: string, _options: StoreOptions): Promise<Store> {
  return new DiskStore(place);
}
