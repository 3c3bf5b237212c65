/** Health check of a repository: all containers that the chosen restore points need. */
import { randomBytes } from 'node:crypto';
import { toFailure, UsageError } from '../core/errors.ts';
import { type Logger, silentLogger } from '../core/log.ts';
import { createBlockVerbs } from '../pipeline/blockVerbs.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import { Repository } from '../repository/repository.ts';
import { chainTo, type RestorePoint } from '../repository/restorePoint.ts';
import type { VmFolder } from '../repository/vmFolder.ts';
import { type FolderFailure, forEachFolder } from './listRepository.ts';
import { RunResources } from './resources.ts';
import { selectPoint } from './selectPoint.ts';
import {
  type ContainerCheck,
  type Damage,
  type FingerprintsById,
  verifyContainer,
} from './verifyContainer.ts';

export interface VerifyOptions {
  readonly repository: string;
  /** VM name or id. @defaultValue every VM */
  readonly vm?: string | undefined;
  /** Point id, its beginning, `latest` or `all`. @defaultValue latest */
  readonly point?: string | undefined;
  /** Part of the stored blocks to read, above 0 and at most 1. @defaultValue 1 */
  readonly sampleRatio?: number | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onProgress?:
    | ((fileName: string, checkedBlocks: number, totalBlocks: number) => void)
    | undefined;
}

export interface VerifiedFile {
  readonly vmName: string;
  readonly fileName: string;
  readonly pointId: string;
  readonly pointNumber: number;
  readonly checkedBlocks: number;
  readonly skippedBlocks: number;
  readonly storedBytesRead: number;
  readonly plainBytes: number;
  readonly damageCount: number;
}

export interface FoundDamage extends Damage {
  readonly vmName: string;
  /** Restore points that may need what is damaged: this one and those that build on it. */
  readonly affectedPointIds: readonly string[];
}

export interface VerifyReport {
  readonly type: 'verify';
  readonly repository: string;
  readonly durationSeconds: number;
  readonly files: readonly VerifiedFile[];
  readonly damage: readonly FoundDamage[];
  /** VM folders that could not be checked. */
  readonly failures: readonly FolderFailure[];
}

/** Points whose containers have to be read, each after its parent. */
function pointsToRead(metadata: ChainMetadata, selector: string): readonly RestorePoint[] {
  if (selector === 'all') return metadata.points;
  return chainTo(metadata.points, selectPoint(metadata, selector));
}

/** Selectors that fit every VM. */
const ALL_VMS: ReadonlySet<string> = new Set(['latest', 'all']);

/** Without a VM name a point's id picks the VM. */
function hasPoint(metadata: ChainMetadata, selector: string): boolean {
  return (
    ALL_VMS.has(selector) || metadata.points.some((point) => point.pointId.startsWith(selector))
  );
}

/** Whoever builds on `point`, and itself. */
function dependents(metadata: ChainMetadata, point: RestorePoint): string[] {
  const ids = new Set([point.pointId]);
  for (const other of metadata.points) if (ids.has(other.parentPointId)) ids.add(other.pointId);
  return [...ids];
}

/** Uniform numbers from the system's generator; a sample that could be foreseen would be no check. */
function random(): number {
  return randomBytes(4).readUInt32LE() / 2 ** 32;
}

class VmVerifier {
  readonly files: VerifiedFile[] = [];
  readonly damage: FoundDamage[] = [];
  readonly #options: VerifyOptions;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  async run(folder: VmFolder): Promise<void> {
    const metadata = await folder.readMetadata();
    if (!metadata || metadata.points.length === 0) return;
    const { vm, point: selector = 'latest' } = this.#options;
    if (!vm && !hasPoint(metadata, selector)) return;
    const points = pointsToRead(metadata, selector);
    const { workers, signal } = this.#options;
    const blockSizeBytes = Math.max(...points.map((point) => point.blockSizeBytes));
    await using resources = await RunResources.create({ blockSizeBytes, workers, signal });
    const known = new Map<string, FingerprintsById>();
    for (const [k, point] of points.entries()) {
      const parent = known.get(point.parentPointId);
      known.set(point.pointId, await this.#container(folder, metadata, point, parent, resources));
      const needed = new Set(points.slice(k + 1).map((later) => later.parentPointId));
      for (const id of known.keys()) if (!needed.has(id)) known.delete(id);
    }
  }

  async #container(
    folder: VmFolder,
    metadata: ChainMetadata,
    point: RestorePoint,
    parent: FingerprintsById | undefined,
    resources: RunResources,
  ): Promise<FingerprintsById> {
    const { sampleRatio = 1, onProgress } = this.#options;
    const { check, fingerprints } = await verifyContainer(point, {
      folder: folder.folder,
      resources,
      verbs: await createBlockVerbs(),
      sampleRatio,
      random,
      parent,
      onProgress: (checked, total) => onProgress?.(point.fileName, checked, total),
    });
    this.#note(metadata, check);
    return fingerprints;
  }

  #note(metadata: ChainMetadata, check: ContainerCheck): void {
    const { point, damage, ...counts } = check;
    const vmName = metadata.vm.name;
    const { fileName, pointId, number: pointNumber } = point;
    this.files.push({
      vmName,
      fileName,
      pointId,
      pointNumber,
      checkedBlocks: counts.checkedBlocks,
      skippedBlocks: counts.skippedBlocks,
      storedBytesRead: counts.storedBytesRead,
      plainBytes: counts.plainBytes,
      damageCount: damage.length,
    });
    const affectedPointIds = dependents(metadata, point);
    this.damage.push(...damage.map((found) => ({ ...found, vmName, affectedPointIds })));
  }
}

/**
 * Verifies restore points: structure, every stored block (bounds, CRC-32C, MD5, fingerprint) and every link
 * of the chain. Damage is reported, not thrown.
 *
 * @throws a {@link BackupError} when the repository, the VM or its chain metadata cannot be opened
 */
export async function verifyRepository(options: VerifyOptions): Promise<VerifyReport> {
  const { sampleRatio = 1 } = options;
  if (!(sampleRatio > 0 && sampleRatio <= 1)) {
    throw new UsageError(
      'USAGE_INVALID_OPTION',
      `sample ${sampleRatio}: above 0 and at most 100 %`,
    );
  }
  const startedAtMs = performance.now();
  try {
    const repository = await Repository.open(options.repository);
    const folders = options.vm
      ? [await repository.requireVm(options.vm)]
      : await repository.vmFolders();
    const verifier = new VmVerifier(options);
    const failures = await forEachFolder(folders, (folder) => verifier.run(folder));
    const { files, damage } = verifier;
    const { vm, point = 'latest' } = options;
    if (!vm && files.length === 0 && failures.length === 0 && !ALL_VMS.has(point)) {
      throw new UsageError('USAGE_NOT_FOUND', `restore point "${point}" does not exist`, {
        hint: 'run "ovirt-cbt list"',
      });
    }
    const durationSeconds = (performance.now() - startedAtMs) / 1000;
    (options.logger ?? silentLogger).info(
      { files: files.length, damage: damage.length },
      'verified',
    );
    return {
      type: 'verify',
      repository: repository.root,
      durationSeconds,
      files,
      damage,
      failures,
    };
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
