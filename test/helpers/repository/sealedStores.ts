/** Sealed stores over memory, and ways to look at and change their sealed bytes. */
import type { Storage } from '../../../src/store/storage.ts';
import type { StoreFolder } from '../../../src/store/store.ts';
import { KeyRing, newRepositoryKey } from '../../../src/store/seal/keys.ts';
import { SealedFolder } from '../../../src/store/seal/sealedFolder.ts';
import { sealedStartOf } from '../../../src/store/seal/sealFormat.ts';
import { sealStore } from '../../../src/store/seal/sealStore.ts';
import { type MemoryFolder, MemoryStore, type MemoryStoreOptions } from './memoryStore.ts';

export const FOLDER_NAME = 'web.6a0f0f7e-0000-4000-8000-00000000000a';

export interface SealedPair {
  readonly base: MemoryFolder;
  readonly sealed: StoreFolder;
  readonly keys: KeyRing;
}

/** A sealed folder over a folder in memory. */
export function sealedPair(options?: MemoryStoreOptions): SealedPair {
  const store = new MemoryStore(options);
  const keys = new KeyRing([newRepositoryKey()]);
  const base = store.folder(FOLDER_NAME);
  return { base, sealed: sealStore(store, keys).folder(FOLDER_NAME), keys };
}

/** A sealed folder of another name over the same files. */
export function underFolderName({ base, keys }: SealedPair, name: string): StoreFolder {
  return new SealedFolder(base, name, keys);
}

/** Writes a container in pieces and publishes it. */
export async function putContainer(
  folder: StoreFolder,
  fileName: string,
  write: (storage: Storage) => Promise<void>,
): Promise<void> {
  const container = await folder.createContainer(fileName);
  await write(container.storage);
  await container.storage.close();
  await container.publish();
}

/** All plain bytes of a container. */
export async function readContainer(folder: StoreFolder, fileName: string): Promise<Buffer> {
  const storage = await folder.openContainer(fileName);
  try {
    const bytes = Buffer.alloc(await storage.sizeBytes());
    await storage.read(bytes, 0);
    return bytes;
  } finally {
    await storage.close();
  }
}

/** The bytes of one sealed chunk. */
export function sealedChunk(file: Buffer, chunk: number): Buffer {
  return file.subarray(sealedStartOf(chunk), sealedStartOf(chunk + 1));
}
