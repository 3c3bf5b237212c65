/**
 * The chain of a VM in files that are given by their paths, oldest first. It has the shape of a
 * chain in a repository, so restore, export and verify use it like one.
 */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { type BlockCodecs, createBlockCodecs } from '../../compute/blockCodecs.ts';
import type { ContainerItem } from '../../container/format/items.ts';
import { UNSUPPORTED_HINT } from '../../container/format/versions.ts';
import { FormatError, UsageError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { ChainMetadata } from '../pointXml.ts';
import { PointReader } from '../pointReader.ts';
import type { DiskPoint, RestorePoint } from '../restorePoint.ts';
import { RestorePointView } from '../restorePointView.ts';
import { type ChainFile, type FileVm, openChainFile } from './chainFile.ts';
import { imageKindOf, nameOfItem } from './diskItems.ts';
import { checkFirst, checkOrder, isLinked, type Links, type OrderedFile } from './fileOrder.ts';

/** A VM in the files that hold it, oldest first. */
export interface FileChain {
  readonly metadata: ChainMetadata;
  /** The point of the last file. */
  readonly point: RestorePoint;
  /** The opened files of {@link metadata}, in its order. Their readers belong to the files. */
  readonly members: readonly PointReader[];
  readonly messages: readonly SessionMessage[];
}

interface Member {
  /** Position among the given files. */
  readonly at: number;
  readonly file: ChainFile;
  readonly vm: FileVm;
}

function nameOf(file: ChainFile): string {
  return path.basename(file.path);
}

function isIncrement(vm: FileVm): boolean {
  return vm.disks.some((item) => item.kind === 'increment');
}

/** Folders keep their names in a chain. Our own have a new one in each file, but a VM id. */
function keyOf(file: ChainFile, vm: FileVm): string {
  return file.own ? `id ${vm.id}` : `folder ${vm.folder}`;
}

/** Opens files. {@link closeFiles} closes them. */
export async function openFilesOf(
  files: readonly string[],
  codecs: BlockCodecs,
): Promise<ChainFile[]> {
  await checkPaths(files);
  const opened: ChainFile[] = [];
  try {
    for (const file of files) opened.push(await openChainFile(file, codecs));
    return opened;
  } catch (error) {
    await closeFiles(opened);
    throw error;
  }
}

export async function closeFiles(files: readonly ChainFile[]): Promise<void> {
  await Promise.all(files.map(({ reader }) => reader.close()));
}

/** @throws {@link UsageError} for no file, and for one that is given twice */
export async function checkPaths(files: readonly string[]): Promise<void> {
  if (files.length === 0) {
    throw new UsageError('USAGE_INVALID_OPTION', 'no file was given', {
      hint: 'name the files of the chain, oldest first',
    });
  }
  const seen = new Set<string>();
  for (const file of files) {
    const real = await realpath(file).catch(() => path.resolve(file));
    if (seen.has(real)) {
      throw new UsageError('USAGE_FILE_ORDER', `${file} was given twice`, {
        hint: 'give each file of the chain once',
      });
    }
    seen.add(real);
  }
}

/**
 * The VM to use of the last file.
 *
 * @param name - display name, folder or id; undefined for the only one.
 * @throws {@link UsageError} `USAGE_NOT_FOUND`; `USAGE_INVALID_OPTION` when one has to be chosen
 */
export function chooseVm(file: ChainFile, name: string | undefined): FileVm {
  const { vms } = file;
  const matches = vms.filter(
    (vm) => name === undefined || [vm.name, vm.folder, vm.id].includes(name),
  );
  const [match] = matches;
  if (match && matches.length === 1) return match;
  const list = vms.map((vm) => (vm.name === vm.folder ? vm.name : `${vm.name} (${vm.folder})`));
  if (vms.length === 0) {
    throw new UsageError('USAGE_NOT_FOUND', `${nameOf(file)} holds no disk`, {
      hint: '"ovirt-cbt inspect" shows what it holds',
    });
  }
  const hint = `choose one with --vm: ${list.join(', ')}`;
  if (!match) {
    throw new UsageError('USAGE_NOT_FOUND', `${nameOf(file)} holds no VM "${name}"`, { hint });
  }
  const text = name === undefined ? 'several VMs' : `several VMs "${name}"`;
  throw new UsageError('USAGE_INVALID_OPTION', `${nameOf(file)} holds ${text}`, { hint });
}

function toOrdered(file: ChainFile, vms: readonly FileVm[], links: Links): OrderedFile {
  const needsParent = file.own ? file.own.point.type === 'increment' : vms.some(isIncrement);
  const parentName = vms.map((vm) => vm.parentName).find((name) => name !== '') ?? '';
  return { name: nameOf(file), path: file.path, links, parentName, needsParent };
}

/** A file without the VM may lie among the others only when ids tell that it belongs there. */
function checkStranger(files: readonly ChainFile[], at: number): void {
  const pair = Math.max(1, at);
  if (isLinked(files[pair - 1]?.storage, files[pair]?.storage, 'storage')) return;
  const file = files[at] as ChainFile;
  const last = files.at(-1) as ChainFile;
  const names = file.vms.map((vm) => `"${vm.name}"`).join(', ') || 'none';
  throw new UsageError(
    'USAGE_FILE_ORDER',
    `${nameOf(file)} does not hold the VM of ${nameOf(last)}; its VMs: ${names}`,
    { hint: 'give the files of one chain, oldest first' },
  );
}

function membersOf(files: readonly ChainFile[], chosen: FileVm): Member[] {
  const key = keyOf(files.at(-1) as ChainFile, chosen);
  const members: Member[] = [];
  for (const [at, file] of files.entries()) {
    const vm = file.vms.find((other) => keyOf(file, other) === key);
    if (vm) members.push({ at, file, vm });
    else checkStranger(files, at);
  }
  return members;
}

/** For each member whether ids prove that it follows the one before. */
function checkLinks(files: readonly ChainFile[], members: readonly Member[]): boolean[] {
  const ordered = members.map(({ file, vm }) =>
    toOrdered(file, [vm], { ...file.storage, ...vm.links }),
  );
  checkFirst(ordered);
  const follows = checkOrder(
    files.map((file) => toOrdered(file, file.vms, file.storage)),
    ['storage'],
  );
  const isBetween = (k: number): boolean => {
    const [from, to] = [members[k - 1]?.at ?? 0, members[k]?.at ?? 0];
    return follows.slice(from + 1, to + 1).every(Boolean);
  };
  return checkOrder(ordered, ['restore point', 'machine state'], isBetween);
}

function checkBlockSizes(members: readonly Member[]): void {
  const [first] = members;
  for (const { file } of members) {
    const [own, other] = [file.reader.blockSizeBytes, first?.file.reader.blockSizeBytes ?? 0];
    if (own === other || !first) continue;
    throw new UsageError(
      'USAGE_FILE_ORDER',
      `${nameOf(file)} has blocks of ${own} B, ${nameOf(first.file)} of ${other} B`,
      { hint: 'give the files of one chain' },
    );
  }
}

const KIND_NAMES: Readonly<Record<string, string>> = {
  external: 'external file (type 2)',
  patch: 'patch (type 4)',
};

function diskPoint(file: ChainFile, item: ContainerItem): DiskPoint {
  const { kind, record } = item;
  if (kind !== 'file' && kind !== 'increment') {
    const what = KIND_NAMES[kind] ?? `item of type ${record.type}`;
    throw new FormatError('FORMAT_UNSUPPORTED', `${nameOf(file)}: ${item.path}: is an ${what}`, {
      hint: UNSUPPORTED_HINT,
    });
  }
  const isFull = kind === 'file';
  return {
    diskId: nameOfItem(item),
    alias: nameOfItem(item),
    sizeBytes: record.sizeBytes,
    content: isFull ? 'full' : 'increment',
    mode: isFull ? 'full' : 'incremental',
    reason: '',
    readBytes: 0,
    changedBytes: isFull ? 0 : record.patchedBytes,
    storedBytes: 0,
  };
}

/** Ids are those of the machine in the file, otherwise those of the file, otherwise made up. */
function foreignId(members: readonly Member[], k: number): string {
  const { at, file, vm } = members[k] as Member;
  const { links } = vm;
  const known = links['restore point']?.id || links['machine state']?.id;
  return (
    known || file.storage.storage?.id || `file-${at + 1}-${contentMark(members.slice(0, k + 1))}`
  );
}

/**
 * Files that name themselves in no way are told apart by what they hold: an overlay of one chain
 * must not be continued on another one. The checksums of the metadata cover the digests of all
 * blocks.
 */
function contentMark(members: readonly Member[]): string {
  const hash = createHash('sha256');
  for (const { file } of members) {
    const { fileBytes, slot } = file.reader.snapshot;
    hash.update(`${fileBytes} ${slot.banks.map(({ crc }) => crc).join(' ')}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

function foreignPoint(members: readonly Member[], k: number): RestorePoint {
  const member = members[k] as Member;
  const { file, vm } = member;
  const before = members[k - 1];
  return {
    pointId: foreignId(members, k),
    number: k + 1,
    type: before ? 'increment' : 'full',
    chainId: foreignId(members, 0),
    parentPointId: before ? foreignId(members, k - 1) : '',
    fileName: nameOf(file),
    createdAt: vm.createdAt,
    checkpointId: '',
    blockSizeBytes: file.reader.blockSizeBytes,
    fileBytes: file.reader.snapshot.fileBytes,
    disks: vm.disks.map((item) => diskPoint(file, item)),
  };
}

async function openMember({ file, vm }: Member, point: RestorePoint): Promise<PointReader> {
  if (file.own) return await PointReader.check(file.reader, point);
  return PointReader.ofFolder(file.reader, point, file.items, vm.folder);
}

function orderMessages(members: readonly Member[], isProven: readonly boolean[]): SessionMessage[] {
  return members.slice(1).flatMap(({ file }, k) => {
    const parent = members[k];
    if (isProven[k + 1] || !parent) return [];
    return [sessionMessage('REPO-540', { file: nameOf(file), parent: nameOf(parent.file) })];
  });
}

function imageMessages({ disks }: RestorePoint): SessionMessage[] {
  return disks.flatMap(({ alias }) => {
    const kind = imageKindOf(alias);
    return kind === undefined ? [] : [sessionMessage('REPO-541', { alias, kind })];
  });
}

/**
 * Composes the chain of a VM out of opened files. Reads no disk.
 *
 * @param chosen - a VM of the last file.
 * @throws {@link UsageError} `USAGE_FILE_ORDER`; {@link RepositoryError} `CHAIN_PARENT_MISSING`;
 *   {@link FormatError} `FORMAT_UNSUPPORTED` for a disk in an item of a kind that nobody can read
 */
export async function composeChain(
  files: readonly ChainFile[],
  chosen: FileVm,
): Promise<FileChain> {
  const members = membersOf(files, chosen);
  const isProven = checkLinks(files, members);
  checkBlockSizes(members);
  const points = members.map(({ file }, k) => file.own?.point ?? foreignPoint(members, k));
  const opened: PointReader[] = [];
  for (const [k, point] of points.entries())
    opened.push(await openMember(members[k] as Member, point));
  const point = points.at(-1) as RestorePoint;
  const vm = { id: chosen.id || chosen.folder, name: chosen.name };
  const messages = [
    ...files.flatMap((file) => file.messages),
    ...orderMessages(members, isProven),
    ...imageMessages(point),
  ];
  return { metadata: { vm, points }, point, members: opened, messages };
}

/** The chain of a VM and its open view. Closing the view closes all files. */
export interface OpenFileChain extends FileChain {
  readonly view: RestorePointView;
}

/**
 * Opens files and composes the chain of one VM in them.
 *
 * @param vm - display name, folder or id; undefined for the only one of the last file.
 * @throws as {@link openFilesOf} and {@link composeChain}
 */
export async function openFileChain(
  files: readonly string[],
  vm: string | undefined,
): Promise<OpenFileChain> {
  const opened = await openFilesOf(files, await createBlockCodecs());
  try {
    const chain = await composeChain(opened, chooseVm(opened.at(-1) as ChainFile, vm));
    const close = (): Promise<void> => closeFiles(opened);
    return { ...chain, view: RestorePointView.ofFiles(chain.point, chain.members, close) };
  } catch (error) {
    await closeFiles(opened);
    throw error;
  }
}
