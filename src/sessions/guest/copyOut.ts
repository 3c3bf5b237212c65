/** Copies files and folders of a guest into a local folder. */
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  open,
  rename,
  rm,
  symlink,
  utimes,
} from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, OutputError, toOutputError, UsageError } from '../../core/errors.ts';
import { writeAll } from '../../core/fileWrites.ts';
import { makeFolder } from '../../store/folder/durableFile.ts';
import { outputExists, publishImage } from '../shared/imageFiles.ts';
import { Guestfish } from './guestfish.ts';
import { bytesOf, quoted, textOf } from './guestfishLanguage.ts';
import type { FoundFile, GuestTree } from './guestTree.ts';
import { PieceReader, readTar, type TarEntry } from './tarReader.ts';

const FOLDER_MODE = 0o700;
const ZEROS = Buffer.alloc(4096);

/** What was copied. */
export interface CopiedFiles {
  files: number;
  folders: number;
  links: number;
  bytes: number;
  /** Devices and pipes, which are not copied. An archive of a folder has no sockets. */
  readonly leftOut: string[];
}

/** The local path of each wanted path of a guest. */
export type CopyPlan = ReadonlyMap<string, string>;

/**
 * Names the targets: the last part of each path, in the folder `output`.
 *
 * @throws {@link UsageError} `USAGE_OUTPUT_EXISTS`, `USAGE_INVALID_OPTION`
 */
export async function planCopy(guestPaths: readonly string[], output: string): Promise<CopyPlan> {
  const plan = new Map<string, string>();
  for (const guestFile of new Set(guestPaths)) {
    const name = path.posix.basename(guestFile);
    if (name === '') {
      throw new UsageError('USAGE_INVALID_OPTION', 'the root of the guest has no name to copy to', {
        hint: 'name folders below it, or restore the whole disk with "restore"',
      });
    }
    const target = path.join(output, name);
    if ([...plan.values()].includes(target)) {
      throw new UsageError('USAGE_INVALID_OPTION', `two of the paths end with ${name}`, {
        hint: 'get them one after the other, into different folders',
      });
    }
    if (await exists(target)) throw outputExists(target);
    plan.set(guestFile, target);
  }
  return plan;
}

/**
 * Copies all paths of the plan. They get their names when all of them are complete. After a failure
 * nothing is left.
 */
export async function copyOut(
  fish: Guestfish,
  tree: GuestTree,
  plan: CopyPlan,
  output: string,
): Promise<CopiedFiles> {
  const copied: CopiedFiles = { files: 0, folders: 0, links: 0, bytes: 0, leftOut: [] };
  const copy = new Copy(fish, copied);
  const partial = await toOutput(output, async () => {
    await makeFolder(output);
    return await mkdtemp(path.join(output, '.ovirt-cbt-files-'));
  });
  try {
    for (const [guestFile, target] of plan) {
      const found = await tree.find(guestFile);
      await copy.copy(guestFile, found, path.join(partial, path.basename(target)));
    }
    for (const target of plan.values()) {
      await publish(path.join(partial, path.basename(target)), target);
    }
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return copied;
}

async function publish(from: string, target: string): Promise<void> {
  await toOutput(target, async () => {
    if ((await lstat(from)).isFile()) return await publishImage(from, target);
    if (await exists(target)) throw outputExists(target);
    await rename(from, target);
  });
}

class Copy {
  readonly #fish: Guestfish;
  readonly #copied: CopiedFiles;
  readonly #archives: PieceReader;

  constructor(fish: Guestfish, copied: CopiedFiles) {
    this.#fish = fish;
    this.#copied = copied;
    this.#archives = new PieceReader(fish.data);
  }

  async copy(guestFile: string, found: FoundFile, target: string): Promise<void> {
    const { kind } = found.stat;
    if (kind === 'folder') return await this.#folder(found, target);
    if (kind === 'file') return await this.#file(found, target);
    throw new UsageError('USAGE_INVALID_OPTION', `${guestFile} is no file and no folder`, {
      hint: 'devices, pipes and sockets have no content',
    });
  }

  async #file({ realPath, stat }: FoundFile, target: string): Promise<void> {
    await this.#fish
      .run(`download ${quoted(realPath)} ${quoted(bytesOf(target))}`)
      .catch((error: unknown) => {
        throw /No space left|quota exceeded/.test(String(error)) ? outputFull(target) : error;
      });
    await toOutput(target, async () => {
      const { size } = await lstat(target);
      if (size !== stat.sizeBytes) {
        const text = `${size} B were written, and the file has ${stat.sizeBytes} B`;
        throw new OutputError('OUTPUT_IO', `${textOf(realPath)}: ${text}`);
      }
      await chmod(target, ownMode(stat.mode));
      await setModified(target, new Date(stat.modifiedAt));
    });
    this.#copied.files++;
    this.#copied.bytes += stat.sizeBytes;
  }

  /** The program that packs the folder runs in the guest's appliance. */
  async #folder({ realPath }: FoundFile, target: string): Promise<void> {
    const packing = this.#fish.run(`tar-out ${quoted(realPath)} - ${Guestfish.toData}`);
    const unpacking = new FolderWriter(target, this.#copied).write(readTar(this.#archives));
    try {
      // Each of them may fail first, and the other one would never end then.
      await Promise.race([packing.then(() => unpacking), unpacking.then(() => packing)]);
    } catch (error) {
      this.#fish.data.destroy();
      await Promise.allSettled([packing, unpacking]);
      throw error;
    }
  }
}

/**
 * Writes the entries of an archive into a new folder. Names come from the guest: a name that leads
 * out of the folder is refused, and links are made last, so that nothing is written through them.
 */
class FolderWriter {
  readonly #target: string;
  readonly #copied: CopiedFiles;
  readonly #files = new Map<string, Buffer>();
  readonly #links: (readonly [place: Buffer, to: Buffer])[] = [];
  /** Targets of symbolic links by their names. Links and devices may have several names too. */
  readonly #linkTargets = new Map<string, string>();
  readonly #leftOut = new Set<string>();

  constructor(target: string, copied: CopiedFiles) {
    this.#target = target;
    this.#copied = copied;
  }

  async write(entries: AsyncIterable<TarEntry>): Promise<void> {
    for await (const entry of entries) {
      const place = this.#placeOf(entry.name);
      await toOutput(place.toString('utf8'), () => this.#writeEntry(entry, place));
    }
    for (const [place, to] of this.#links) {
      await toOutput(place.toString('utf8'), () => symlink(to, place));
    }
  }

  async #writeEntry(entry: TarEntry, place: Buffer): Promise<void> {
    const { kind, name, linkName } = entry;
    if (kind === 'folder') {
      await mkdir(place, { mode: FOLDER_MODE });
      this.#copied.folders++;
    } else if (kind === 'file') {
      await this.#writeFile(entry, place);
    } else if (kind === 'hardLink') {
      await this.#writeSecondName(entry, place);
    } else if (kind === 'link') {
      this.#addLink(name, linkName, place);
    } else this.#leaveOut(name);
  }

  async #writeSecondName({ name, linkName }: TarEntry, place: Buffer): Promise<void> {
    const first = keyOf(linkName);
    if (this.#leftOut.has(first)) return this.#leaveOut(name);
    const target = this.#linkTargets.get(first);
    if (target !== undefined) return this.#addLink(name, target, place);
    await link(this.#files.get(first) ?? missingLink(linkName), place);
    this.#files.set(keyOf(name), place);
    this.#copied.files++;
  }

  #addLink(name: string, target: string, place: Buffer): void {
    this.#linkTargets.set(keyOf(name), target);
    this.#links.push([place, Buffer.from(target, 'latin1')]);
    this.#copied.links++;
  }

  #leaveOut(name: string): void {
    this.#leftOut.add(keyOf(name));
    this.#copied.leftOut.push(textOf(keyOf(name)));
  }

  async #writeFile(entry: TarEntry, place: Buffer): Promise<void> {
    const handle = await open(place, 'wx', 0o600);
    try {
      let atBytes = 0;
      for await (const piece of entry.content()) {
        // The archive has holes as zeros. A file that is mostly holes must not fill the volume.
        if (!isZero(piece)) await writeAll(handle, [piece], atBytes);
        atBytes += piece.length;
      }
      await handle.truncate(atBytes);
      await handle.chmod(ownMode(entry.mode));
    } finally {
      await handle.close();
    }
    await setModified(place, new Date(entry.modifiedAtSeconds * 1000));
    this.#files.set(keyOf(entry.name), place);
    this.#copied.files++;
    this.#copied.bytes += entry.sizeBytes;
  }

  #placeOf(name: string): Buffer {
    const parts = partsOf(name);
    if (parts.includes('..') || name.startsWith('/')) {
      throw new OutputError('OUTPUT_IO', `a name leads out of the folder: ${textOf(name)}`, {
        hint: 'the file system of the guest is damaged; get other files of it',
      });
    }
    const below = Buffer.from(parts.map((part) => `/${part}`).join(''), 'latin1');
    return Buffer.concat([Buffer.from(this.#target), below]);
  }
}

/** Node takes a negative number of seconds for the current time, but not a date before 1970. */
async function setModified(place: string | Buffer, time: Date): Promise<void> {
  // A damaged file system may hold a time that is none.
  if (!Number.isNaN(time.getTime())) await utimes(place, time, time);
}

function isZero(piece: Buffer): boolean {
  for (let at = 0; at < piece.length; at += ZEROS.length) {
    const part = piece.subarray(at, at + ZEROS.length);
    if (!part.equals(ZEROS.subarray(0, part.length))) return false;
  }
  return true;
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.');
}

function keyOf(name: string): string {
  return partsOf(name).join('/');
}

function outputFull(target: string): OutputError {
  return new OutputError('OUTPUT_FULL', `write ${target}: no space left`, {
    hint: 'free space in the output folder, or name another folder',
  });
}

function missingLink(name: string): never {
  throw new OutputError('OUTPUT_IO', `a link leads to a file that is not there: ${textOf(name)}`);
}

/** Rights of the owner only. The owner is the user of the command. */
function ownMode(mode: number): number {
  return (mode & FOLDER_MODE) | 0o600;
}

async function exists(file: string): Promise<boolean> {
  try {
    await lstat(file);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return false;
    throw toOutputError(file, error);
  }
}

async function toOutput<T>(target: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toOutputError(target, error);
  }
}
