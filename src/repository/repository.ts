/** The repository folder: its marker file, and the folders of its VMs. */
import { randomUUID } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { BackupError, errnoOf, RepositoryError, UsageError } from '../core/errors.ts';
import { noPatternHint } from '../core/namePattern.ts';
import { didYouMean } from '../core/nearestNames.ts';
import { repositoryFailure, retryPassing } from '../core/systemErrors.ts';
import { compareNames } from '../core/namePattern.ts';
import {
  createDurable,
  guardRepository,
  makeFolder,
  PARTIAL_SUFFIX,
  readText,
  syncFolder,
} from '../store/folder/durableFile.ts';
import type { VmIdentity } from './restorePoint.ts';
import { safeFileName } from './names.ts';
import { keepReserve } from './spaceReserve.ts';
import { VmFolder } from './vmFolder.ts';

const MARKER_NAME = 'ovirt-cbt.json';
const MAX_MARKER_BYTES = 64 * 1024;
const FORMAT = 'ovirt-cbt/1';
/** Folder in the root of a fresh ext4 volume. */
const LOST_AND_FOUND = 'lost+found';
const FOLDER_NAME = /^(.+)\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/s;

const markerSchema: z.ZodType<{ readonly format: string; readonly id: string }> = z.object({
  format: z.literal(FORMAT),
  id: z.string(),
});

function notFound(root: string, what: string): RepositoryError {
  return new RepositoryError('REPOSITORY_NOT_FOUND', `${root}: ${what}`, {
    hint: 'name a folder that "ovirt-cbt backup" made; for the first backup an empty or new folder',
  });
}

async function listFolder(root: string): Promise<string[] | undefined> {
  try {
    return await retryPassing(() => readdir(root));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return undefined;
    throw errno === 'ENOTDIR'
      ? notFound(root, 'is not a folder')
      : repositoryFailure(`read ${root}`, error);
  }
}

/** Id of the repository, or undefined when there is no marker. */
async function readMarker(root: string): Promise<string | undefined> {
  try {
    const text = await readText(path.join(root, MARKER_NAME), MAX_MARKER_BYTES);
    return markerSchema.parse(JSON.parse(text)).id;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return undefined;
    const isSystems = errno !== undefined && !(error instanceof BackupError);
    if (isSystems) throw repositoryFailure(`read ${root}`, error);
    throw notFound(root, `${MARKER_NAME} is not the marker of a repository of this version`);
  }
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
  readonly root: string;
  /** Random id, made with the repository. The ids of image VMs derive from it. */
  readonly id: string;

  private constructor(root: string, id: string) {
    this.root = root;
    this.id = id;
  }

  /**
   * Opens a repository.
   *
   * @throws {@link RepositoryError} `REPOSITORY_NOT_FOUND`, `REPOSITORY_IO`
   */
  static async open(root: string): Promise<Repository> {
    if (!(await listFolder(root))) throw notFound(root, 'does not exist');
    const id = await readMarker(root);
    if (id === undefined) throw notFound(root, 'is not a repository');
    return new Repository(root, id);
  }

  /**
   * True for a folder that does not exist or is empty, so that it may become a repository.
   *
   * @throws as {@link Repository.open}
   */
  static async isFree(root: string): Promise<boolean> {
    const entries = (await listFolder(root)) ?? [];
    // A killed first session may have left the marker under its temporary name.
    return entries.every((name) => name.endsWith(PARTIAL_SUFFIX) || name === LOST_AND_FOUND);
  }

  /**
   * Opens a repository. A new or empty folder becomes one; `lost+found` does not count. Folders get
   * mode 0700. When several processes make it at the same time, one marker wins and all of them use
   * it.
   *
   * @param isFree - as {@link isFree} said just now. @defaultValue it is asked
   * @throws {@link RepositoryError} `REPOSITORY_NOT_FOUND`, `REPOSITORY_IO`, `REPOSITORY_FULL`
   */
  static async openOrCreate(root: string, isFree?: boolean): Promise<Repository> {
    if (isFree ?? (await Repository.isFree(root))) await Repository.#create(root);
    const repository = await Repository.open(root);
    await keepReserve(root);
    return repository;
  }

  static async #create(root: string): Promise<void> {
    await guardRepository(`create ${root}`, () => makeFolder(root));
    const marker = { format: FORMAT, id: randomUUID() };
    await createDurable(path.join(root, MARKER_NAME), `${JSON.stringify(marker)}\n`);
  }

  /** Folders of VMs, by name. */
  async vmFolders(): Promise<VmFolder[]> {
    const entries = (await listFolder(this.root)) ?? [];
    const folders = entries.flatMap((entry) => this.#vmFolder(entry) ?? []);
    // Not by the names of the folders: there "web01-new_…" is before "web01_…".
    return folders.toSorted(
      (a, b) => compareNames(a.safeName, b.safeName) || compareNames(a.vmId, b.vmId),
    );
  }

  /** The folder of the VM with this id. Unlike {@link findVm} it reads no file. */
  async vmById(id: string): Promise<VmFolder | undefined> {
    // Other names are not even parsed: a session over 1000 VMs asks 1000 times.
    const entries = ((await listFolder(this.root)) ?? []).filter((entry) => entry.endsWith(id));
    const folders = entries.flatMap((entry) => this.#vmFolder(entry) ?? []);
    const own = folders.filter(({ vmId }) => vmId === id);
    return own.toSorted((a, b) => compareNames(a.safeName, b.safeName))[0];
  }

  #vmFolder(entry: string): VmFolder | undefined {
    const match = FOLDER_NAME.exec(entry);
    if (!match) return undefined;
    return new VmFolder(path.join(this.root, entry), match[1] ?? '', match[2] ?? '');
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
    const folder = path.join(this.root, `${safeName}.${vm.id}`);
    await guardRepository(`create ${folder}`, async () => {
      await makeFolder(folder);
      await syncFolder(this.root);
    });
    return new VmFolder(folder, safeName, vm.id);
  }
}
