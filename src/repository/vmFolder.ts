/**
 * The folder of one VM: its containers, its chain metadata (.vbm) and leftovers of killed sessions.
 */
import { randomBytes } from 'node:crypto';
import { BackupError, RepositoryError } from '../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import { isAccessFailure, isSystemFailure } from '../core/systemErrors.ts';
import type { BlockCodecs } from '../compute/blockCodecs.ts';
import type { StoreFolder, StoreLock } from '../store/store.ts';
import { readTextFile } from '../store/textFiles.ts';
import { safeFileName } from './names.ts';
import { openContainer, readSummary } from './pointReader.ts';
import { type ChainMetadata, decodeVbm, encodeReadableVbm, MAX_VBM_BYTES } from './pointXml.ts';
import { type BadFile, type FoundPoint, orderPoints } from './pointOrder.ts';
import type { RestorePoint } from './restorePoint.ts';
import { readLocks } from './pointLocks.ts';

export interface ScanResult {
  readonly metadata: ChainMetadata;
  readonly badFiles: readonly BadFile[];
}

function ofAnotherVm(file: string, vmId: string): RepositoryError {
  return new RepositoryError('REPOSITORY_METADATA_INVALID', `${file}: belongs to VM ${vmId}`, {
    hint: 'run "ovirt-cbt rescan" to rebuild it from the containers in its folder',
  });
}

const MARK_ATTEMPTS = 3;

export class VmFolder {
  /** Its files. */
  readonly place: StoreFolder;
  /**
   * The VM's name when the folder was made, in a form safe for files. The metadata has the real
   * name.
   */
  readonly safeName: string;
  readonly vmId: string;

  constructor(place: StoreFolder, safeName: string, vmId: string) {
    this.place = place;
    this.safeName = safeName;
    this.vmId = vmId;
  }

  /** Path or URL of the folder, for messages and reports. */
  get folder(): string {
    return this.place.name;
  }

  get vbmName(): string {
    return `${this.safeName}.vbm`;
  }

  get vbmPath(): string {
    return this.place.pathOf(this.vbmName);
  }

  /**
   * True for the VM's id, and for its name in the metadata. Without metadata the name in the folder
   * counts.
   */
  async isNamed(nameOrId: string): Promise<boolean> {
    if (nameOrId === this.vmId) return true;
    // The VM may have been renamed on its engine since the folder was made.
    const metadata = await this.readMetadata().catch(() => undefined);
    return metadata ? metadata.vm.name === nameOrId : safeFileName(nameOrId) === this.safeName;
  }

  /**
   * Takes the lock of the chain.
   *
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`, `REPOSITORY_IO`
   */
  async lock(): Promise<StoreLock> {
    const lock = await this.place.lock();
    try {
      if (lock.mustMark) await this.#mark(lock.token);
      return lock;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Writes the token of a lock that was taken over into the chain metadata. From then on the holder
   * before cannot replace them. It may do so once more right before.
   */
  async #mark(lockToken: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const metadata = await this.#readableMetadata();
        if (metadata) await this.writeMetadata({ ...metadata, lockToken });
        return;
      } catch (error) {
        const isChanged = error instanceof RepositoryError && error.code === 'REPOSITORY_LOCKED';
        if (!isChanged || attempt === MARK_ATTEMPTS) throw error;
      }
    }
  }

  /** Undefined for metadata that a rescan must rebuild. */
  async #readableMetadata(): Promise<ChainMetadata | undefined> {
    try {
      return await this.readMetadata();
    } catch (error) {
      if (error instanceof BackupError && isAccessFailure(error)) throw error;
      return undefined;
    }
  }

  /**
   * Chain metadata, or undefined when the folder holds no restore point yet.
   *
   * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` when the .vbm is lost, damaged or
   *   of another VM; `REPOSITORY_IO`
   */
  async readMetadata(): Promise<ChainMetadata | undefined> {
    const text = await readTextFile(this.place, this.vbmName, MAX_VBM_BYTES);
    if (text !== undefined) {
      const metadata = decodeVbm(text, this.vbmPath);
      if (metadata.vm.id !== this.vmId) throw ofAnotherVm(this.vbmPath, metadata.vm.id);
      return metadata;
    }
    if ((await this.containerNames()).length === 0) return undefined;
    throw new RepositoryError('REPOSITORY_METADATA_INVALID', `${this.vbmPath} is missing`, {
      hint: 'run "ovirt-cbt rescan" to rebuild it from the containers in its folder',
    });
  }

  /**
   * Chain metadata with at least one point.
   *
   * @throws {@link RepositoryError} `CHAIN_PARENT_MISSING` when there is no point, and as {@link
   *   readMetadata}
   */
  async requireMetadata(): Promise<ChainMetadata> {
    const metadata = await this.readMetadata();
    if (metadata && metadata.points.length > 0) return metadata;
    throw new RepositoryError('CHAIN_PARENT_MISSING', `${this.folder} holds no restore point yet`, {
      hint: 'run "ovirt-cbt backup" first',
    });
  }

  async writeMetadata(metadata: ChainMetadata): Promise<void> {
    await this.writeEncoded(this.encodeMetadata(metadata));
  }

  /** As {@link writeMetadata}. @param text - of {@link encodeMetadata}. */
  async writeEncoded(text: string): Promise<void> {
    await this.place.writeFile(this.vbmName, text);
  }

  /** Text of the .vbm. @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` */
  encodeMetadata(metadata: ChainMetadata): string {
    return encodeReadableVbm(metadata, this.vbmPath);
  }

  async containerNames(): Promise<string[]> {
    return await this.place.containerNames();
  }

  /** Name of the VM, time of creation in UTC, four random hexadecimal digits. */
  #newContainerName(type: RestorePoint['type'], createdAt: Date): string {
    const time = createdAt.toISOString().slice(0, 19).replaceAll(':', '');
    const suffix = randomBytes(2).toString('hex').toUpperCase();
    return `${this.safeName}.D${time}_${suffix}.${type === 'full' ? 'vbk' : 'vib'}`;
  }

  /**
   * A container name that no file has yet. A rename would replace such a file, and a clock that was
   * set back gives the same second again. The caller must hold the lock.
   */
  async unusedContainerName(type: RestorePoint['type'], createdAt: Date): Promise<string> {
    const taken = new Set(await this.containerNames());
    let name = this.#newContainerName(type, createdAt);
    while (taken.has(name)) name = this.#newContainerName(type, createdAt);
    return name;
  }

  /**
   * Deletes unfinished files of a stopped session. The caller must hold the lock.
   *
   * @returns message REPO-505 for each file.
   */
  async removeLeftovers(): Promise<SessionMessage[]> {
    const leftovers = await this.place.removeLeftovers();
    return leftovers.map((file) => sessionMessage('REPO-505', { file }));
  }

  /**
   * Adds complete containers that the metadata does not list. They exist when a session was killed
   * after it named its file and before it wrote the metadata. The caller must hold the lock.
   */
  async adoptOrphans(
    metadata: ChainMetadata,
    codecs: BlockCodecs,
  ): Promise<{ readonly metadata: ChainMetadata; readonly messages: SessionMessage[] }> {
    const listed = new Set(metadata.points.map((point) => point.fileName));
    for (const fileName of metadata.obsoleteFiles ?? []) listed.add(fileName);
    const orphans = (await this.containerNames()).filter((name) => !listed.has(name));
    if (orphans.length === 0) return { metadata, messages: [] };
    // An orphan that cannot be read now stays as it is. A later session adds it.
    const { found, badFiles } = await this.#readContainers(orphans, codecs, () => false);
    const result = orderPoints(metadata.vm, metadata.points, found);
    const adopted = found.filter((entry) => result.points.includes(entry.point));
    const messages = [
      ...adopted.map(({ point }) =>
        sessionMessage('REPO-506', { rp: point.pointId, file: point.fileName }),
      ),
      ...[...badFiles, ...result.badFiles].map((bad) =>
        sessionMessage('REPO-507', { file: bad.fileName, reason: bad.reason }),
      ),
    ];
    const updated = { ...metadata, points: result.points };
    if (adopted.length > 0) await this.writeMetadata(updated);
    return { metadata: updated, messages };
  }

  /**
   * Rebuilds the metadata from the containers alone. Writes nothing.
   *
   * @param except - names of containers that count for nothing.
   * @throws {@link RepositoryError} `REPOSITORY_IO` when a container cannot be read. Otherwise the
   *   chain would lose its point and the points that build on it.
   */
  async scan(codecs: BlockCodecs, except: ReadonlySet<string>): Promise<ScanResult> {
    const names = (await this.containerNames()).filter((name) => !except.has(name));
    const { found, badFiles } = await this.#readContainers(names, codecs, isSystemFailure);
    const vm = found[0]?.vm ?? { id: this.vmId, name: this.safeName };
    const result = orderPoints(vm, [], found);
    return {
      metadata: { vm, points: result.points },
      badFiles: [...badFiles, ...result.badFiles],
    };
  }

  async #readContainers(
    names: readonly string[],
    codecs: BlockCodecs,
    isFatal: (error: BackupError) => boolean,
  ): Promise<{ readonly found: FoundPoint[]; readonly badFiles: BadFile[] }> {
    const found: FoundPoint[] = [];
    const badFiles: BadFile[] = [];
    for (const fileName of names) {
      try {
        found.push(await this.#readContainer(fileName, codecs));
      } catch (error) {
        if (!(error instanceof BackupError) || isFatal(error)) throw error;
        badFiles.push({ fileName, reason: error.code });
      }
    }
    return { found: await this.#withLocks(found), badFiles };
  }

  /** Locks are not recorded inside containers. Without the right to read them, none are known. */
  async #withLocks(found: readonly FoundPoint[]): Promise<FoundPoint[]> {
    const points = found.map(({ point }) => point);
    const locked = await readLocks(this.place, points).catch((error: unknown) => {
      if (error instanceof RepositoryError && error.code === 'REPOSITORY_REFUSED') return points;
      throw error;
    });
    return found.map(({ vm, point }, k) => ({ vm, point: locked[k] ?? point }));
  }

  async #readContainer(fileName: string, codecs: BlockCodecs): Promise<FoundPoint> {
    const reader = await openContainer(this.place, fileName);
    try {
      const { vm, point } = await readSummary(reader, codecs);
      const fileBytes = await reader.storage.sizeBytes();
      return { vm, point: { ...point, fileName, fileBytes } };
    } finally {
      await reader.close();
    }
  }
}
