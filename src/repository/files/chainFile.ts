/** One file of a chain that is given by its path: ours, or one of others. */
import path from 'node:path';
import { stat } from 'node:fs/promises';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { ContainerItem } from '../../container/format/items.ts';
import { textProperty } from '../../container/format/properties.ts';
import { ContainerReader } from '../../container/read/containerReader.ts';
import { checkLength } from '../../container/format/snapshotSlots.ts';
import { isSeenVersion } from '../../container/format/versions.ts';
import { openStorage } from '../../store/folder/fileStorage.ts';
import { BackupError, errnoOf, RepositoryError, UsageError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { isAccessFailure } from '../../core/systemErrors.ts';
import { MAX_SUMMARY_BYTES, readSummary, SUMMARY_NAME } from '../pointReader.ts';
import type { RestorePoint, VmIdentity } from '../restorePoint.ts';
import { isDiskItem, nameOfItem } from './diskItems.ts';
import type { Links } from './fileOrder.ts';
import { type ForeignSummary, readForeignSummary } from './foreignSummary.ts';

/** The content of a file that belongs to one VM. */
export interface FileVm {
  /** Path of its folder in the container; empty for items outside of folders. */
  readonly folder: string;
  readonly id: string;
  readonly name: string;
  readonly links: Links;
  /** Name of the file that it builds on, as our extension tells it; otherwise empty. */
  readonly parentName: string;
  readonly disks: readonly ContainerItem[];
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}

/** An open file. {@link ContainerReader.close} closes it. */
export interface ChainFile {
  readonly path: string;
  readonly reader: ContainerReader;
  readonly items: readonly ContainerItem[];
  readonly vms: readonly FileVm[];
  /** VM and restore point of a file that we wrote. */
  readonly own: { readonly vm: VmIdentity; readonly point: RestorePoint } | undefined;
  readonly storage: Links;
  readonly messages: readonly SessionMessage[];
}

function folderOf(item: ContainerItem): string {
  const folder = path.posix.dirname(item.path);
  return folder === '.' ? '' : folder;
}

/**
 * The VM and point of our own summary; undefined for a file that is not ours.
 *
 * @throws {@link IntegrityError}, {@link FormatError} when a summary of ours is damaged
 */
async function readOwn(
  reader: ContainerReader,
  file: string,
  items: readonly ContainerItem[],
  codecs: BlockCodecs,
): Promise<ChainFile['own']> {
  const top = items.find((item) => item.kind === 'folder');
  if (textProperty(top?.properties, 'RestorePointId') === undefined) return undefined;
  try {
    const { vm, point } = await readSummary(reader, codecs);
    const { fileBytes } = reader.snapshot;
    return { vm, point: { ...point, fileName: path.basename(file), fileBytes } };
  } catch (error) {
    // Others may give our properties to their folders, and have a summary in another form.
    if (!(error instanceof RepositoryError) || isAccessFailure(error)) throw error;
    return undefined;
  }
}

/** Summaries by the folder that they lie in. Those that cannot be read are undefined. */
async function readSummaries(
  reader: ContainerReader,
  items: readonly ContainerItem[],
  codecs: BlockCodecs,
): Promise<Map<string, ForeignSummary | undefined>> {
  const summaries = new Map<string, ForeignSummary | undefined>();
  for (const item of items) {
    if (item.kind !== 'file' || nameOfItem(item) !== SUMMARY_NAME) continue;
    try {
      const content = await reader.readFile(item, MAX_SUMMARY_BYTES, codecs);
      summaries.set(folderOf(item), readForeignSummary(content.toString('utf8')));
    } catch (error) {
      const isUnreadable = error instanceof BackupError && !(error instanceof UsageError);
      if (!isUnreadable || isAccessFailure(error)) throw error;
      summaries.set(folderOf(item), undefined);
    }
  }
  return summaries;
}

/** A property that our writer, and others that follow our extension, give to the folder of a VM. */
function extensionText(items: readonly ContainerItem[], folder: string, name: string): string {
  const properties = items.find((item) => item.path === folder)?.properties;
  return textProperty(properties, name) ?? '';
}

function extensionLinks(items: readonly ContainerItem[], folder: string): Links {
  const id = extensionText(items, folder, 'RestorePointId');
  if (id === '') return {};
  const parentId = extensionText(items, folder, 'ParentRestorePointId');
  return { 'restore point': { id, parentId } };
}

interface Found {
  readonly file: string;
  readonly modifiedAt: string;
  readonly items: readonly ContainerItem[];
  readonly summaries: ReadonlyMap<string, ForeignSummary | undefined>;
}

function vmIn(folder: string, { file, modifiedAt, items, summaries }: Found): FileVm {
  const all = [...summaries.values()].flatMap((summary) => summary?.vms ?? []);
  const own = summaries.get(folder);
  const known = all.find((vm) => vm.folder === folder) ?? own?.vms.find((vm) => vm.folder === '');
  const inside = items.filter((item) => item.kind !== 'folder' && folderOf(item) === folder);
  return {
    folder,
    id: known?.objectId ?? '',
    name: known?.name || path.posix.basename(folder) || path.basename(file),
    links: {
      ...extensionLinks(items, folder),
      ...(known && { 'machine state': known.link }),
    },
    parentName: extensionText(items, folder, 'ParentFileName'),
    disks: inside.filter((item) => isDiskItem(item, own?.fileNames)),
    createdAt: known?.createdAt || modifiedAt,
  };
}

function ownVm(own: NonNullable<ChainFile['own']>, items: readonly ContainerItem[]): FileVm {
  const { vm, point } = own;
  const folder = items.find((item) => item.kind === 'folder')?.path ?? '';
  const ids = new Set(point.disks.map(({ diskId }) => diskId));
  return {
    folder,
    id: vm.id,
    name: vm.name,
    links: { 'restore point': { id: point.pointId, parentId: point.parentPointId } },
    parentName: extensionText(items, folder, 'ParentFileName'),
    disks: items.filter((item) => ids.has(nameOfItem(item))),
    createdAt: point.createdAt,
  };
}

async function describe(
  reader: ContainerReader,
  file: string,
  modifiedAt: string,
  codecs: BlockCodecs,
): Promise<ChainFile> {
  const items = await reader.items();
  const { formatVersion } = reader.snapshot.header;
  const messages: SessionMessage[] = [];
  const name = path.basename(file);
  if (!isSeenVersion(formatVersion)) {
    messages.push(sessionMessage('REPO-542', { file: name, version: formatVersion }));
  }
  const own = await readOwn(reader, file, items, codecs);
  const base = { path: file, reader, items, own, messages };
  if (own) return { ...base, vms: [ownVm(own, items)], storage: {} };
  const summaries = await readSummaries(reader, items, codecs);
  for (const [folder, summary] of summaries) {
    if (summary) continue;
    messages.push(sessionMessage('REPO-543', { file: name, item: `${folder}/${SUMMARY_NAME}` }));
  }
  const folders = new Set(items.filter((item) => item.kind !== 'folder').map(folderOf));
  const found = { file, modifiedAt, items, summaries };
  const vms = [...folders].map((folder) => vmIn(folder, found)).filter((vm) => vm.disks.length > 0);
  const storage = [...summaries.values()].find((summary) => summary?.storage.id)?.storage;
  return { ...base, vms, storage: storage ? { storage } : {} };
}

/**
 * Opens a file.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`; format and integrity codes
 */
export async function openChainFile(file: string, codecs: BlockCodecs): Promise<ChainFile> {
  const info = await stat(file).catch((error: unknown) => {
    const reason = errnoOf(error) ?? 'unknown';
    throw new UsageError('USAGE_NOT_FOUND', `${file} cannot be reached (${reason})`, {
      cause: error,
      hint: 'name a .vbk or .vib file',
    });
  });
  if (!info.isFile()) {
    throw new UsageError('USAGE_NOT_FOUND', `${file} is not a file`, {
      hint: 'name the files of the chain, oldest first',
    });
  }
  checkLength(file, info.size);
  const reader = await ContainerReader.open(await openStorage(file, 'read'));
  try {
    return await describe(reader, file, info.mtime.toISOString(), codecs);
  } catch (error) {
    await reader.close();
    throw error;
  }
}
