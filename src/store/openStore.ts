/** Finds the implementation for the place of a repository. */
import { DiskStore } from './folder/diskStore.ts';
import { isS3Location, parseS3Location } from './s3/location.ts';
import type { Store, StoreOptions } from './store.ts';

/**
 * Opens the place of a repository. The caller closes it.
 *
 * @param place - folder, or `s3://bucket/prefix`.
 */
export async function openStore(place: string, options: StoreOptions): Promise<Store> {
  if (isS3Location(place)) {
    // A repository in a folder must not load the SDK.
    const { openS3Store } = await import('./s3/s3Store.ts');
    return await openS3Store(parseS3Location(place), options);
  }
  return new DiskStore(place);
}
