/**
 * Encryption at rest: a store whose files are sealed. It wraps any other store.
 *
 * Sealed are the contents of all files in folders of VMs, also journals, leases and the results of
 * verify. Names, sizes and times of files stay visible, and so do the marker at the root and locks.
 */
import type { Store } from '../store.ts';
import type { KeyRing } from './keys.ts';
import { SealedFolder } from './sealedFolder.ts';

/** @param keys - belong to the store from now on. Its `close` removes them from memory. */
export function sealStore(base: Store, keys: KeyRing): Store {
  return {
    name: base.name,
    root: base.root,
    immutability: base.immutability,
    names: () => base.names(),
    folder: (name) => new SealedFolder(base.folder(name), name, keys),
    make: () => base.make(),
    makeFolder: (name) => base.makeFolder(name),
    keepReserve: () => base.keepReserve(),
    freeReserve: () => base.freeReserve(),
    close: async () => {
      keys.close();
      await base.close();
    },
  };
}
