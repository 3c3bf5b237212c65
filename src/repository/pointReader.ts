/** Opens one container of a chain and checks it against the chain metadata. */
import path from 'node:path';
import { IntegrityError, RepositoryError } from '../core/errors.ts';
import { ContainerReader } from '../container/read/containerReader.ts';
import type { OpenOptions } from '../container/read/snapshotReader.ts';
import type { ContainerItem } from '../container/format/items.ts';
import { textProperty } from '../container/format/properties.ts';
import { openStorage } from '../container/storage.ts';
import type { BlockCodecs } from '../compute/blockCodecs.ts';
import type { FingerprintMap } from '../flow/fingerprintMap.ts';
import { FingerprintIndex } from './fingerprintStore.ts';
import { decodeSummary } from './pointXml.ts';
import { type DiskPoint, ovfItemName, type RestorePoint, type VmIdentity } from './restorePoint.ts';

export const SUMMARY_NAME = 'summary.xml';
const MAX_SUMMARY_BYTES = 16 * 1024 * 1024;
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

  private constructor(
    point: RestorePoint,
    reader: ContainerReader,
    items: readonly ContainerItem[],
  ) {
    this.point = point;
    this.reader = reader;
    this.items = items;
  }

  /**
   * Opens the container of a point. Checks that point id, parent and block size match.
   *
   * @throws a {@link BackupError}: `CHAIN_PARENT_MISSING` when the file is missing, format and
   *   integrity codes
   */
  static async open(
    folder: string,
    point: RestorePoint,
    options: OpenOptions = {},
  ): Promise<PointReader> {
    const reader = await openContainer(path.join(folder, point.fileName), options);
    try {
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
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** The item of a disk. @throws {@link IntegrityError} when it is missing or has another size */
  diskItem(disk: DiskPoint): ContainerItem {
    const kind = disk.content === 'full' ? 'file' : 'increment';
    const item = this.items.find(
      (other) => other.kind === kind && other.path.endsWith(`/${disk.diskId}`),
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

/** Opens a container file. @throws {@link RepositoryError} `CHAIN_PARENT_MISSING` for no file */
export async function openContainer(
  file: string,
  options: OpenOptions = {},
): Promise<ContainerReader> {
  try {
    return await ContainerReader.open(await openStorage(file, 'read'), options);
  } catch (error) {
    if (error instanceof RepositoryError && error.details['errno'] === 'ENOENT') {
      throw new RepositoryError('CHAIN_PARENT_MISSING', `${file} is missing`, {
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
