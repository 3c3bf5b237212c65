/** Makes, opens, closes and deletes the files of an overlay. */
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rmdir } from 'node:fs/promises';
import path from 'node:path';
import {
  BackupError,
  errnoOf,
  FormatError,
  OutputError,
  RepositoryError,
  toOutputError,
  UsageError,
} from '../../core/errors.ts';
import { blockCountOf, formatBytes, MIB } from '../../core/units.ts';
import { exists, makeFolder, removeQuietly, syncFolder } from '../../store/folder/durableFile.ts';
import { CLUSTER_BYTES, ClusterMap, SECTOR_BYTES } from './clusterMap.ts';
import { DiskOverlay, type OverlayBase, type OverlayHandles } from './diskOverlay.ts';
import {
  damagedMap,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  type OverlayIdentity,
  START_ANEW,
} from './mapHeader.ts';
import { type OverlayPlace, overlayPlace } from './overlayPlace.ts';
import { ChainLock } from '../../store/folder/chainLock.ts';

const DATA_NAME = 'data';
const MAP_NAME = 'map';
const NEW_MAP_NAME = 'map.partial';
const FILE_MODE = 0o600;
/** Sectors of a map are read in pieces of this size. */
const MAP_PIECE_BYTES = MIB;

/** Where overlays lie, and what becomes of them. */
export interface OverlayOptions {
  /** A folder with one folder for each disk. It is made, with mode 0700. */
  readonly folder: string;
  /**
   * Keeps the overlay at the end, and continues one that exists.
   *
   * @defaultValue false: it is deleted at the end, and one that exists is an error
   */
  readonly keep?: boolean | undefined;
}

export interface OverlayRequest extends OverlayOptions {
  readonly identity: OverlayIdentity;
}

/** An overlay that this process alone uses. */
export class OpenOverlay {
  readonly overlay: DiskOverlay;
  readonly folder: string;
  readonly isKept: boolean;
  readonly #place: OverlayPlace;
  readonly #files: OverlayHandles;
  readonly #lock: ChainLock;

  private constructor(
    overlay: DiskOverlay,
    parts: {
      readonly place: OverlayPlace;
      readonly isKept: boolean;
      readonly files: OverlayHandles;
      readonly lock: ChainLock;
    },
  ) {
    this.overlay = overlay;
    this.folder = parts.place.folder;
    this.isKept = parts.isKept;
    this.#place = parts.place;
    this.#files = parts.files;
    this.#lock = parts.lock;
  }

  /**
   * Makes the overlay of a disk, or continues it.
   *
   * @throws {@link UsageError} `USAGE_OUTPUT_EXISTS` for an overlay that exists without `keep`, or
   *   of another point or disk; `USAGE_INVALID_OPTION` for a folder inside a repository; {@link
   *   RepositoryError} `REPOSITORY_LOCKED` for one in use; {@link OutputError} when its files
   *   cannot be made or read; {@link FormatError}, {@link IntegrityError} when they are damaged
   */
  static async open(base: OverlayBase, request: OverlayRequest): Promise<OpenOverlay> {
    const { folder: parent, keep: isKept = false, identity } = request;
    const place = await overlayPlace(parent, identity.diskId);
    const lock = await lockFolder(place.folder);
    try {
      const hasMap = await exists(path.join(place.folder, MAP_NAME));
      if (hasMap && !isKept) throw existsError(place.folder);
      if (!hasMap) await createFiles(place.folder, identity);
      const { files, map } = await openFiles(place.folder, identity);
      return new OpenOverlay(new DiskOverlay(base, map, files), { place, isKept, files, lock });
    } catch (error) {
      await lock.release();
      await removeEmpty(place);
      throw toOutputError(place.folder, error);
    }
  }

  /**
   * Flushes and closes an overlay that is kept, or deletes it. No write may be under way.
   *
   * @throws as {@link DiskOverlay.flush}; the files are closed then too
   */
  async close(): Promise<void> {
    try {
      if (this.isKept) await this.overlay.flush();
    } catch (error) {
      throw toOutputError(this.folder, error);
    } finally {
      await closeAll(this.#files);
      // The map goes first: without it the rest counts as nothing.
      const names = this.isKept ? [] : [MAP_NAME, DATA_NAME];
      for (const name of names) await removeQuietly(path.join(this.folder, name));
      await this.#lock.release();
      if (!this.isKept) await removeEmpty(this.#place);
    }
  }
}

function existsError(folder: string): UsageError {
  return new UsageError('USAGE_OUTPUT_EXISTS', `the overlay ${folder} exists already`, {
    hint: '--keep continues it; deleting it loses what clients wrote into it',
  });
}

async function lockFolder(folder: string): Promise<ChainLock> {
  try {
    await makeFolder(folder);
    return await ChainLock.acquireForLife(folder);
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw toOutputError(folder, error);
    throw error.code === 'REPOSITORY_LOCKED'
      ? usedError(error)
      : toOutputError(folder, error.cause);
  }
}

/** Another server has the overlay. */
function usedError({ code, message, hint, details, cause }: RepositoryError): RepositoryError {
  const ownHint = `${hint}; or name another folder for the overlays`;
  return new RepositoryError(code, `the overlay ${message}`, { cause, details, hint: ownHint });
}

/** The map gets its name last, so files without a map are those of a start that failed. */
async function createFiles(folder: string, identity: OverlayIdentity): Promise<void> {
  const { sizeBytes } = identity;
  const { sectorCount } = new ClusterMap(blockCountOf(sizeBytes, CLUSTER_BYTES));
  const [data, newMap] = [path.join(folder, DATA_NAME), path.join(folder, NEW_MAP_NAME)];
  try {
    await createSparse(data, sizeBytes);
    await createSparse(newMap, HEADER_BYTES + sectorCount * SECTOR_BYTES, encodeHeader(identity));
    await rename(newMap, path.join(folder, MAP_NAME));
    await syncFolder(folder);
  } catch (error) {
    await Promise.all([data, newMap].map(removeQuietly));
    throw error;
  }
}

async function createSparse(file: string, sizeBytes: number, head?: Buffer): Promise<void> {
  const handle = await open(file, 'w', FILE_MODE);
  try {
    await handle.truncate(sizeBytes);
    if (head) await handle.write(head, 0, head.length, 0);
    await handle.sync();
  } catch (error) {
    throw errnoOf(error) === 'EFBIG' ? tooLarge(file, sizeBytes) : error;
  } finally {
    await handle.close();
  }
}

function tooLarge(file: string, sizeBytes: number): OutputError {
  const text = `${file}: the file system takes no file of ${formatBytes(sizeBytes)}`;
  return new OutputError('OUTPUT_IO', text, {
    hint: 'name a folder on XFS; ext4 takes files of up to 16 TiB',
  });
}

interface OpenedFiles {
  readonly files: OverlayHandles;
  readonly map: ClusterMap;
}

async function openFiles(folder: string, identity: OverlayIdentity): Promise<OpenedFiles> {
  const mapFile = path.join(folder, MAP_NAME);
  const handles: FileHandle[] = [];
  try {
    // Links are not followed: they could lead into a repository.
    const flags = constants.O_RDWR | constants.O_NOFOLLOW;
    const mapHandle = await open(mapFile, flags);
    handles.push(mapHandle);
    const map = await readMap(mapHandle, mapFile, identity);
    const dataFile = path.join(folder, DATA_NAME);
    const data = await open(dataFile, flags);
    handles.push(data);
    await checkSize(data, dataFile, identity.sizeBytes);
    return { files: { data, map: mapHandle }, map };
  } catch (error) {
    await Promise.allSettled(handles.map((handle) => handle.close()));
    throw error;
  }
}

async function readMap(
  handle: FileHandle,
  file: string,
  identity: OverlayIdentity,
): Promise<ClusterMap> {
  const header = Buffer.alloc(HEADER_BYTES);
  const { bytesRead } = await handle.read(header, 0, HEADER_BYTES, 0);
  if (bytesRead < HEADER_BYTES) throw truncated(file);
  checkIdentity(decodeHeader(header, file), identity, path.dirname(file));
  const map = new ClusterMap(blockCountOf(identity.sizeBytes, CLUSTER_BYTES));
  const sizeBytes = map.sectorCount * SECTOR_BYTES;
  await checkSize(handle, file, HEADER_BYTES + sizeBytes);
  for (let at = 0; at < sizeBytes; at += MAP_PIECE_BYTES) {
    const piece = Buffer.alloc(Math.min(MAP_PIECE_BYTES, sizeBytes - at));
    await readPiece(handle, file, piece, HEADER_BYTES + at);
    loadPiece(map, file, piece, at / SECTOR_BYTES);
  }
  return map;
}

async function readPiece(
  handle: FileHandle,
  file: string,
  piece: Buffer,
  offsetBytes: number,
): Promise<void> {
  for (let done = 0; done < piece.length; ) {
    const left = piece.length - done;
    const { bytesRead } = await handle.read(piece, done, left, offsetBytes + done);
    if (bytesRead === 0) throw truncated(file);
    done += bytesRead;
  }
}

function loadPiece(map: ClusterMap, file: string, piece: Buffer, firstIndex: number): void {
  for (let at = 0; at < piece.length; at += SECTOR_BYTES) {
    const index = firstIndex + at / SECTOR_BYTES;
    try {
      map.load(index, piece.subarray(at, at + SECTOR_BYTES));
    } catch (error) {
      throw error instanceof BackupError ? damagedMap(file, `sector ${index}`) : error;
    }
  }
}

function checkIdentity(found: OverlayIdentity, wanted: OverlayIdentity, folder: string): void {
  const other =
    found.pointId !== wanted.pointId
      ? `restore point ${found.pointId}, not of ${wanted.pointId}`
      : found.diskId !== wanted.diskId
        ? `disk ${found.diskId}, not of ${wanted.diskId}`
        : found.sizeBytes !== wanted.sizeBytes
          ? `a disk of ${found.sizeBytes} B, not of ${wanted.sizeBytes} B`
          : undefined;
  if (other === undefined) return;
  const way =
    found.pointId === wanted.pointId
      ? 'serve what the overlay belongs to'
      : `go on with --point ${found.pointId}, if that point still exists`;
  throw new UsageError('USAGE_OUTPUT_EXISTS', `${folder} is the overlay of ${other}`, {
    hint: `name another folder, or ${way}`,
  });
}

async function checkSize(handle: FileHandle, file: string, sizeBytes: number): Promise<void> {
  if ((await handle.stat()).size !== sizeBytes) throw truncated(file);
}

function truncated(file: string): FormatError {
  return new FormatError('FORMAT_TRUNCATED', `${file} does not have its full size`, {
    hint: START_ANEW,
  });
}

async function closeAll({ data, map }: OverlayHandles): Promise<void> {
  await Promise.allSettled([data.close(), map.close()]);
}

/** Removes the folders that were made, unless something else lies in them. */
async function removeEmpty({ folder, isParentNew }: OverlayPlace): Promise<void> {
  await rmdir(folder).catch(() => {});
  if (isParentNew) await rmdir(path.dirname(folder)).catch(() => {});
}
