/** The repository: its marker file, and the folders of its VMs. */
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { BackupError, RepositoryError, UsageError } from '../core/errors.ts';
import { noPatternHint } from '../core/namePattern.ts';
import { didYouMean } from '../core/nearestNames.ts';
import { compareNames } from '../core/namePattern.ts';
import { PARTIAL_SUFFIX } from '../store/folder/durableFile.ts';
import { isKeyFile, makeSeal, openSeal, openStore } from '../store/openStore.ts';
import type { Store, StoreOptions } from '../store/store.ts';
import { readTextFile } from '../store/textFiles.ts';
import type { VmIdentity } from './restorePoint.ts';
import { safeFileName } from './names.ts';
import { VmFolder } from './vmFolder.ts';

const MARKER_NAME = 'ovirt-cbt.json';
const MAX_MARKER_BYTES = 64 * 1024;
const FORMAT = 'ovirt-cbt/1';
/** Versions that know no seals refuse it. */
const SEALED_FORMAT = 'ovirt-cbt/2';
/** Folder in the root of a fresh ext4 volume. */
const LOST_AND_FOUND = 'lost+found';
const FOLDER_NAME = /^(.+)\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/s;

interface Marker {
  readonly format: typeof FORMAT | typeof SEALED_FORMAT;
  readonly id: string;
}

const markerSchema: z.ZodType<Marker> = z.object({
  format: z.enum([FORMAT, SEALED_FORMAT]),
  id: z.string(),
});

function notFound(place: string, what: string): RepositoryError {
  return new RepositoryError('REPOSITORY_NOT_FOUND', `${place}: ${what}`, {
    hint: 'name a folder that "ovirt-cbt backup" made; for the first backup an empty or new folder',
  });
}

/** The marker of the repository, or undefined when there is none. */
async function readMarker(store: Store): Promise<Marker | undefined> {
  try {
    const text = await readTextFile(store.root, MARKER_NAME, MAX_MARKER_BYTES);
    return text === undefined ? undefined : markerSchema.parse(JSON.parse(text));
  } catch (error) {
    const isOfContent =
      !(error instanceof BackupError) || error.code === 'REPOSITORY_METADATA_INVALID';
    if (!isOfContent) throw error;
    throw notFound(store.name, `${MARKER_NAME} is not the marker of a repository of this version`);
  }
}

/**
 * Locks marker and keys as long as new points. Without the keys a sealed repository is lost, and
 * they are not written again.
 */
async function lockRoot(store: Store): Promise<void> {
  const { root, immutability } = store;
  if (!immutability || !root.locks) return;
  const files = (await store.names()) ?? [];
  const kept = files.filter((name) => name === MARKER_NAME || isKeyFile(name));
  await root.locks.extend(kept, Date.now() + immutability.periodMs);
}

async function noMarker(store: Store): Promise<RepositoryError> {
  const isThere = (await store.names()) !== undefined;
  return notFound(store.name, isThere ? 'is not a repository' : 'does not exist');
}

/**
 * Opens the place of a sealed repository without its seal, for work on its keys. The caller closes
 * it.
 *
 * @throws {@link RepositoryError} as {@link Repository.open}; {@link UsageError}
 *   `USAGE_INVALID_OPTION` when the repository is not sealed
 */
export async function openSealedPlace(place: string, options: StoreOptions): Promise<Store> {
  const base = await openStore(place, options);
  return await closeOnFailure(base, async () => {
    const marker = await readMarker(base);
    if (!marker) throw await noMarker(base);
    if (marker.format === SEALED_FORMAT) return base;
    throw new UsageError('USAGE_INVALID_OPTION', `repository ${base.name} is not sealed`, {
      hint: 'it has no keys; to seal it, copy it into a new repository with --to-key-file',
    });
  });
}

/** True for a repository and for all inside. @param folder - absolute, without links. */
export async function isInRepository(folder: string): Promise<boolean> {
  const marker = path.join(folder, MARKER_NAME);
  const hasMarker = await stat(marker).then(
    () => true,
    () => false,
  );
  if (hasMarker) return true;
  const parent = path.dirname(folder);
  return parent !== folder && (await isInRepository(parent));
}

export class Repository {
  /** Path or URL of the repository. */
  readonly root: string;
  /** Random id, made with the repository. The ids of image VMs derive from it. */
  readonly id: string;
  readonly store: Store;

  private constructor(store: Store, id: string) {
    this.root = store.name;
    this.store = store;
    this.id = id;
  }

  /**
   * Opens a repository. The caller closes it.
   *
   * @param place - folder, or `s3://bucket/prefix`.
   * @throws {@link RepositoryError} `REPOSITORY_NOT_FOUND`, `REPOSITORY_IO`, and as {@link
   *   openStore}
   */
  static async open(place: string, options: StoreOptions = {}): Promise<Repository> {
    const base = await openStore(place, options);
    return await closeOnFailure(base, async () => {
      const marker = await readMarker(base);
      if (marker) return await Repository.#ofMarker(base, marker, options);
      throw await noMarker(base);
    });
  }

  /**
   * As {@link open}. A new or empty place becomes a repository; `lost+found` does not count.
   * Folders get mode 0700. When several processes make it at the same time, one marker wins and all
   * of them use it.
   *
   * @param options - with a key file a new repository is sealed.
   * @param beforeMake - called before a new one is made. What it throws is thrown, and nothing is
   *   made then.
   * @throws {@link RepositoryError} `REPOSITORY_NOT_FOUND`, `REPOSITORY_IO`, `REPOSITORY_FULL`
   */
  static async openOrCreate(
    place: string,
    options: StoreOptions = {},
    beforeMake: () => void = () => {},
  ): Promise<Repository> {
    const base = await openStore(place, options);
    return await closeOnFailure(base, async () => {
      const marker = await readMarker(base);
      const repository = marker
        ? await Repository.#ofMarker(base, marker, options)
        : await Repository.#make(base, options, beforeMake);
      await base.keepReserve();
      await lockRoot(base);
      return repository;
    });
  }

  /**
   * As {@link open}; undefined for a place that does not exist or is empty, so that it may become a
   * repository.
   */
  static async openIfMade(
    place: string,
    options: StoreOptions = {},
  ): Promise<Repository | undefined> {
    const base = await openStore(place, options);
    return await closeOnFailure(base, async () => {
      const marker = await readMarker(base);
      if (marker) return await Repository.#ofMarker(base, marker, options);
      if (!(await isFree(base))) throw await noMarker(base);
      await base.close();
      return undefined;
    });
  }

  static async #ofMarker(
    base: Store,
    { format, id }: Marker,
    options: StoreOptions,
  ): Promise<Repository> {
    return new Repository(await openSeal(base, format === SEALED_FORMAT, options), id);
  }

  static async #make(
    base: Store,
    options: StoreOptions,
    beforeMake: () => void,
  ): Promise<Repository> {
    if (!(await isFree(base))) throw await noMarker(base);
    beforeMake();
    await base.make();
    const store = await makeSeal(base, options);
    const format = options.keyFile === undefined ? FORMAT : SEALED_FORMAT;
    const id = randomUUID();
    const isOurs = await base.root.createFile(MARKER_NAME, `${JSON.stringify({ format, id })}\n`);
    if (isOurs) return new Repository(store, id);
    const winner = await readMarker(base);
    if (winner?.format === format) return new Repository(store, winner.id);
    throw notFound(base.name, 'another process made it meanwhile, in another way');
  }

  /** Ends connections. May be called twice. */
  async close(): Promise<void> {
    await this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Folders of VMs, by name. */
  async vmFolders(): Promise<VmFolder[]> {
    const folders = (await this.#names()).flatMap((entry) => this.#vmFolder(entry) ?? []);
    // Not by the names of the folders: there "web01-new_…" is before "web01_…".
    return folders.toSorted(
      (a, b) => compareNames(a.safeName, b.safeName) || compareNames(a.vmId, b.vmId),
    );
  }

  /** The folder of the VM with this id. Unlike {@link findVm} it reads no file. */
  async vmById(id: string): Promise<VmFolder | undefined> {
    // Other names are not even parsed: a session over 1000 VMs asks 1000 times.
    const entries = (await this.#names()).filter((entry) => entry.endsWith(id));
    const folders = entries.flatMap((entry) => this.#vmFolder(entry) ?? []);
    const own = folders.filter(({ vmId }) => vmId === id);
    return own.toSorted((a, b) => compareNames(a.safeName, b.safeName))[0];
  }

  async #names(): Promise<string[]> {
    return (await this.store.names()) ?? [];
  }

  #vmFolder(entry: string): VmFolder | undefined {
    const match = FOLDER_NAME.exec(entry);
    if (!match) return undefined;
    return new VmFolder(this.store.folder(entry), match[1] ?? '', match[2] ?? '');
  }

  /**
   * The folder of a VM by its name or id, or undefined.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` when several folders have this name
   */
  async findVm(nameOrId: string): Promise<VmFolder | undefined> {
    const folders = await this.vmFolders();
    const byId = folders.find((folder) => folder.vmId === nameOrId);
    if (byId) return byId;
    const matches: VmFolder[] = [];
    for (const folder of folders) if (await folder.isNamed(nameOrId)) matches.push(folder);
    if (matches.length <= 1) return matches[0];
    throw new UsageError(
      'USAGE_INVALID_OPTION',
      `"${nameOrId}" names ${matches.length} VMs: ${matches.map((folder) => folder.vmId).join(', ')}`,
      { hint: 'give the id instead of the name' },
    );
  }

  /** Like {@link findVm}. @throws {@link UsageError} `USAGE_NOT_FOUND` when there is no such VM */
  async requireVm(nameOrId: string): Promise<VmFolder> {
    const folder = await this.findVm(nameOrId);
    if (folder) return folder;
    const names = (await this.vmFolders()).map(({ safeName }) => safeName);
    throw new UsageError('USAGE_NOT_FOUND', `no VM "${nameOrId}" in ${this.root}`, {
      hint: `${noPatternHint(nameOrId)}${didYouMean(nameOrId, names)}run "ovirt-cbt list" to see what the repository holds`,
    });
  }

  /**
   * Creates the folder of a VM. It is no error when another process has created it meanwhile. A
   * folder with the VM's id and another name is used as it is: the VM was renamed, or an older
   * version made the folder.
   */
  async createVm(vm: VmIdentity): Promise<VmFolder> {
    const known = await this.vmById(vm.id);
    if (known) return known;
    const safeName = safeFileName(vm.name);
    const folder = `${safeName}.${vm.id}`;
    await this.store.makeFolder(folder);
    return new VmFolder(this.store.folder(folder), safeName, vm.id);
  }
}

/** True for a place that does not exist or is empty, so that it may become a repository. */
async function isFree(store: Store): Promise<boolean> {
  const entries = (await store.names()) ?? [];
  // A killed first session may have left the marker under its temporary name, or keys.
  return entries.every(
    (name) => name.endsWith(PARTIAL_SUFFIX) || name === LOST_AND_FOUND || isKeyFile(name),
  );
}

async function closeOnFailure<T>(store: Store, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await store.close();
    throw error;
  }
}
