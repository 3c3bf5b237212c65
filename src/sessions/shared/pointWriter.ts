/**
 * Writes one restore point: container under a temporary name, commit, final name, chain metadata.
 */
import { FileMap } from '../../container/write/blockMaps.ts';
import type { DiskContent } from '../../container/write/containerSink.ts';
import { ContainerWriter, type FolderHandle } from '../../container/write/containerWriter.ts';
import type { Property } from '../../container/format/properties.ts';
import { RepositoryError } from '../../core/errors.ts';
import type { NewContainer } from '../../store/store.ts';
import { writeFingerprints } from '../../repository/fingerprintStore.ts';
import { SUMMARY_NAME } from '../../repository/pointReader.ts';
import { type ChainMetadata, encodeReadableSummary } from '../../repository/pointXml.ts';
import { coverChain, extendLocks, withLock } from '../../repository/pointLocks.ts';
import { ovfItemName, type RestorePoint, type VmIdentity } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { StoreLock } from '../../store/store.ts';

const LOGICAL_SECTOR: Property = { name: 'LogicalSectorSize', type: 'UInt64', value: 512n };
const CHAIN_FORMAT = 'vbk-chain/1';

function text(name: string, value: string): Property {
  return { name, type: 'AString', value };
}

/** Properties that link a container to its chain. Own names, see docs/format-vbk.md, "Items". */
function chainProperties(point: RestorePoint, parent: RestorePoint | undefined): Property[] {
  const properties: Property[] = [
    text('FormatExtension', CHAIN_FORMAT),
    text('RestorePointId', point.pointId),
    { name: 'RestorePointNumber', type: 'UInt32', value: point.number },
    text('RestorePointType', point.type === 'full' ? 'Full' : 'Increment'),
    text('CheckpointId', point.checkpointId),
    { name: 'CreationTimeUtcMs', type: 'UInt64', value: BigInt(Date.parse(point.createdAt)) },
  ];
  if (parent) {
    properties.push(
      text('ParentRestorePointId', parent.pointId),
      text('ParentFileName', parent.fileName),
      text('ParentCheckpointId', parent.checkpointId),
    );
  }
  return properties;
}

/** Contents of a container besides its disks. */
export interface PointContext {
  readonly parent: RestorePoint | undefined;
  /** The VM's configuration (OVF). */
  readonly ovf?: string | undefined;
}

/** A committed container without its name, and its point. */
export interface CompletePoint {
  readonly point: RestorePoint;
  /** Gives the container its name. */
  readonly publish: () => Promise<void>;
  /** For an error after that. Takes the container back when it came too late. Never throws. */
  readonly takeBack: (error: unknown) => Promise<void>;
}

export class PointWriter {
  readonly writer: ContainerWriter;
  readonly #container: NewContainer;
  readonly #folder: VmFolder;
  readonly #fileName: string;
  #published = false;

  private constructor(
    writer: ContainerWriter,
    container: NewContainer,
    folder: VmFolder,
    fileName: string,
  ) {
    this.writer = writer;
    this.#container = container;
    this.#folder = folder;
    this.#fileName = fileName;
  }

  /**
   * Starts the container of a restore point. It gets its name later.
   *
   * @param expectedBytes - the most that the container may get, if known.
   */
  static async create(
    folder: VmFolder,
    fileName: string,
    blockSizeBytes: number,
    expectedBytes?: number,
  ): Promise<PointWriter> {
    const container = await folder.place.createContainer(fileName, { expectedBytes });
    try {
      const writer = await ContainerWriter.create(container.storage, { blockSizeBytes });
      return new PointWriter(writer, container, folder, fileName);
    } catch (error) {
      await container.storage.close().catch(() => {});
      await container.discard();
      throw error;
    }
  }

  /**
   * Adds metadata, commits, and publishes the container. After this the point is the newest of its
   * chain.
   *
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`, `REPOSITORY_FULL`, `REPOSITORY_IO`,
   *   `REPOSITORY_METADATA_INVALID` when the metadata could not be read again
   */
  async publish(
    vm: VmIdentity,
    point: RestorePoint,
    contents: readonly DiskContent[],
    context: PointContext & { readonly metadata: ChainMetadata; readonly lock: StoreLock },
  ): Promise<RestorePoint> {
    const { metadata, lock } = context;
    const { point: published } = await this.complete(vm, point, contents, context);
    await this.list({ ...metadata, vm, points: [...metadata.points, published] }, lock);
    return published;
  }

  /**
   * Gives a complete container its name. Before that, the points on which it builds are locked as
   * long as it is.
   *
   * @param metadata - lists its point. It is written after that.
   * @returns the metadata as it was written, with the new locks.
   * @throws as {@link publish}
   */
  async list(metadata: ChainMetadata, lock: StoreLock): Promise<ChainMetadata> {
    const point = metadata.points.find(({ fileName }) => fileName === this.#fileName);
    const covered = point ? coverChain(metadata, point) : metadata;
    // After the container has its name, it is too late to find that nobody can read the .vbm.
    const text = this.#folder.encodeMetadata(covered);
    await lock.assertHeld();
    await extendLocks(this.#folder.place, metadata, covered);
    await this.#publish();
    try {
      await this.#folder.writeEncoded(text);
    } catch (error) {
      await this.#takeBack(error);
      throw error;
    }
    return covered;
  }

  readonly #publish = async (): Promise<void> => {
    await this.#container.publish();
    this.#published = true;
  };

  /** Without the lock the container counts only when the session that has it added it. */
  readonly #takeBack = async (error: unknown): Promise<void> => {
    if (!(error instanceof RepositoryError) || error.code !== 'REPOSITORY_LOCKED') return;
    const metadata = await this.#folder.readMetadata().catch(() => undefined);
    if (!metadata) return;
    const { points, obsoleteFiles = [] } = metadata;
    const named = [...points.map(({ fileName }) => fileName), ...obsoleteFiles];
    if (!named.includes(this.#fileName)) await this.#container.withdraw();
  };

  /** Adds metadata, commits, and closes the container. It has no name yet. */
  async complete(
    vm: VmIdentity,
    point: RestorePoint,
    contents: readonly DiskContent[],
    { parent, ovf }: PointContext,
  ): Promise<CompletePoint> {
    const top = this.writer.addFolder(
      `${vm.id} (${point.chainId})`,
      chainProperties(point, parent),
    );
    const summary = encodeReadableSummary(vm, withLock(point, undefined), this.#fileName);
    await this.#addText(top, SUMMARY_NAME, summary);
    if (ovf !== undefined) await this.#addText(top, ovfItemName(vm.id), ovf);
    for (const content of contents) await this.#addDisk(top, content);
    await this.writer.commit();
    await this.#container.storage.close();
    const locked = withLock(point, this.#container.lockedUntilMs);
    return {
      point: { ...locked, fileBytes: this.writer.endBytes },
      publish: this.#publish,
      takeBack: this.#takeBack,
    };
  }

  /** Closes and deletes a container that was not published. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#published) return;
    await this.writer.settle().catch(() => {});
    await this.#container.storage.close().catch(() => {});
    await this.#container.discard();
  }

  async #addText(top: FolderHandle, name: string, xml: string): Promise<void> {
    const bytes = Buffer.from(xml, 'utf8');
    const options = { name, sizeBytes: bytes.length, compress: false };
    const { blockSizeBytes } = this.writer;
    await this.writer.addContent(top, options, (index, lengthBytes) =>
      bytes.subarray(index * blockSizeBytes, index * blockSizeBytes + lengthBytes),
    );
  }

  async #addDisk(top: FolderHandle, content: DiskContent): Promise<void> {
    const { diskId: name, virtualSizeBytes: sizeBytes } = content.task;
    const properties = [LOGICAL_SECTOR];
    if (content.blocks instanceof FileMap) {
      this.writer.addFile(top, { name, sizeBytes, map: content.blocks, properties });
    } else {
      this.writer.addIncrement(top, { name, sizeBytes, patches: content.blocks, properties });
    }
    const disk = { diskId: name, sizeBytes };
    await writeFingerprints(this.writer, top, disk, content.fingerprints);
  }
}
