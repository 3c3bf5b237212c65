/** Opens one container of a chain and checks it against the chain metadata. */
import path from 'node:path/posix';
import { IntegrityError, RepositoryError } from '../core/errors.ts';
import { ContainerReader } from '../container/read/containerReader.ts';
import type { OpenOptions } from '../container/read/snapshotReader.ts';
import type { ContainerItem } from '../container/format/items.ts';
import { textProperty } from '../container/format/properties.ts';
import type { StoreFolder } from '../store/store.ts';
import type { BlockCodecs } from '../compute/blockCodecs.ts';
import { maxStoredBytes } from '../compute/storedForm.ts';
import type { FingerprintMap } from '../flow/fingerprintMap.ts';
import { FingerprintIndex } from './fingerprintStore.ts';
import { decodeSummary } from './pointXml.ts';
import { type DiskPoint, ovfItemName, type RestorePoint, type VmIdentity } from './restorePoint.ts';

export const SUMMARY_NAME = 'summary.xml';
export const MAX_SUMMARY_BYTES: number = 16 * 1024 * 1024;
/** A session reads no longer answer of the engine, so every saved configuration can be read. */
const MAX_OVF_BYTES = 64 * 1024 * 1024;

function mismatch(fileName: string, what: string): IntegrityError {
  return new IntegrityError('INTEGRITY_DIGEST_MISMATCH', `${fileName}: ${what}`, {
    hint: 'the file was replaced, or its chain metadata is old; run "ovirt-cbt rescan"',
  });
}

export class PointReader {
  readonly point: RestorePoint;
  readonly reader: ContainerReader;
  readonly items: readonly ContainerItem[];
  /** Folder of the VM in a container of others. */
  readonly #folder: string | undefined;

  private constructor(
    point: RestorePoint,
    reader: ContainerReader,
    items: readonly ContainerItem[],
    folder?: string,
  ) {
    this.point = point;
    this.reader = reader;
    this.items = items;
    this.#folder = folder;
  }

  /**
   * A container of others, which tells nothing of `point` in our way. `reader` was opened before.
   */
  static ofFolder(
    reader: ContainerReader,
    point: RestorePoint,
    items: readonly ContainerItem[],
    folder: string,
  ): PointReader {
    return new PointReader(point, reader, items, folder);
  }

  /**
   * Opens the container of a point. Checks that point id, parent and block size match.
   *
   * @throws a {@link BackupError}: `CHAIN_PARENT_MISSING` when the file is missing, format and
   *   integrity codes
   */
  static async open(
    folder: StoreFolder,
    point: RestorePoint,
    options: OpenOptions = {},
  ): Promise<PointReader> {
    const reader = await openContainer(folder, point.fileName, options);
    try {
      return await PointReader.check(reader, point);
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /**
   * As {@link open}, with a container that was opened before and stays the caller's when the check
   * fails.
   */
  static async check(reader: ContainerReader, point: RestorePoint): Promise<PointReader> {
    const items = await reader.items();
    const top = items.find((item) => item.kind === 'folder');
    const text = (name: string): string => textProperty(top?.properties, name) ?? '';
    if (text('RestorePointId') !== point.pointId) {
      throw mismatch(point.fileName, `holds restore point ${text('RestorePointId') || 'none'}`);
    }
    if (text('ParentRestorePointId') !== point.parentPointId) {
      throw mismatch(point.fileName, `names parent ${text('ParentRestorePointId') || 'none'}`);
    }
    if (reader.blockSizeBytes !== point.blockSizeBytes) {
      throw mismatch(point.fileName, `has blocks of ${reader.blockSizeBytes} B`);
    }
    return new PointReader(point, reader, items);
  }

  /** False for a container of others. CRC and MD5 check its blocks all the same. */
  get hasFingerprints(): boolean {
    return this.#folder === undefined;
  }

  /** Room that the stored form of a block may need. We never store more than the plain bytes. */
  get blockRoomBytes(): number {
    const { blockSizeBytes } = this.reader;
    return this.hasFingerprints ? blockSizeBytes : maxStoredBytes(blockSizeBytes);
  }

  /** The item of a disk. @throws {@link IntegrityError} when it is missing or has another size */
  diskItem(disk: DiskPoint): ContainerItem {
    const kind = disk.content === 'full' ? 'file' : 'increment';
    const place = path.join(this.#folder ?? '', disk.diskId);
    const item = this.items.find(
      (other) =>
        other.kind === kind &&
        (this.#folder === undefined ? other.path.endsWith(`/${place}`) : other.path === place),
    );
    if (!item || item.record.sizeBytes !== disk.sizeBytes) {
      throw mismatch(this.point.fileName, `does not hold disk ${disk.diskId} as ${disk.content}`);
    }
    return item;
  }

  async fingerprints(disk: DiskPoint, codecs: BlockCodecs): Promise<FingerprintMap> {
    return await this.fingerprintIndex(disk, codecs).all();
  }

  /** As {@link fingerprints}, read piece by piece when needed. */
  fingerprintIndex(disk: DiskPoint, codecs: BlockCodecs): FingerprintIndex {
    return new FingerprintIndex(this.reader, this.items, disk, codecs);
  }

  async close(): Promise<void> {
    await this.reader.close();
  }
}

/** Opens a container. @throws {@link RepositoryError} `CHAIN_PARENT_MISSING` for no file */
export async function openContainer(
  folder: StoreFolder,
  fileName: string,
  options: OpenOptions = {},
): Promise<ContainerReader> {
  try {
    return await ContainerReader.open(await folder.openContainer(fileName), options);
  } catch (error) {
    if (error instanceof RepositoryError && error.details['errno'] === 'ENOENT') {
      throw new RepositoryError('CHAIN_PARENT_MISSING', `${folder.pathOf(fileName)} is missing`, {
        cause: error,
        hint: 'copy the file back from another place; without it, the restore points that need it cannot be used',
      });
    }
    throw error;
  }
}

/** Reads the summary of a container: its VM and its restore point. */
export async function readSummary(
  reader: ContainerReader,
  codecs: BlockCodecs,
): Promise<{ readonly vm: VmIdentity; readonly point: RestorePoint }> {
  const items = await reader.items();
  const item = items.find((other) => other.path.endsWith(`/${SUMMARY_NAME}`));
  if (!item) {
    throw new IntegrityError('INTEGRITY_DIGEST_MISMATCH', `${reader.name}: has no ${SUMMARY_NAME}`);
  }
  const content = await reader.readFile(item, MAX_SUMMARY_BYTES, codecs);
  return decodeSummary(content.toString('utf8'), `${reader.name}: ${SUMMARY_NAME}`);
}

/** The VM's configuration (OVF) that was saved with a point; undefined when there is none. */
export async function readOvf(
  point: PointReader,
  vmId: string,
  codecs: BlockCodecs,
): Promise<string | undefined> {
  const item = point.items.find((other) => other.path.endsWith(`/${ovfItemName(vmId)}`));
  if (!item) return undefined;
  return (await point.reader.readFile(item, MAX_OVF_BYTES, codecs)).toString('utf8');
}
