/**
 * Verifies one VM: chooses the containers to read, resumes an interrupted verify, and records the
 * result.
 */
import { randomBytes } from 'node:crypto';
import { RepositoryError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { type DamageTrace, traceDamage } from '../../repository/damage/damageTrace.ts';
import {
  damagedIds,
  healthOfPoints,
  type PointHealth,
  withDependents,
} from '../../repository/damage/pointHealth.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import { chainTo, type RestorePoint } from '../../repository/restorePoint.ts';
import {
  currentContainers,
  identifyFile,
  readVerifyRecord,
  updateVerifyRecord,
  type VerifiedContainer,
  type VerifyRecord,
  type VerifyPass,
} from '../../repository/damage/verifyRecord.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import type { SessionProgress } from '../shared/progress.ts';
import { fittingPoints, selectPoint } from '../shared/selectPoint.ts';
import { readAllFingerprints } from './parentFingerprints.ts';
import { verifyContainer } from './verifyContainer.ts';

export interface VmCheckOptions {
  /** True when the user named the VM. A point that it does not have is then an error. */
  readonly isNamed: boolean;
  /** Number or id of the point, the beginning of its id, `latest` or `all`. */
  readonly point: string;
  readonly sampleRatio: number;
  readonly resume: boolean;
  readonly log: Logger;
  readonly progress: SessionProgress;
}

/** Findings of one VM. `containers` are those of this verify, in the order of their points. */
export interface VmFindings {
  readonly metadata: ChainMetadata;
  readonly containers: readonly VerifiedContainer[];
  /** Containers that an interrupted verify had checked and this one did not read. */
  readonly resumedFiles: ReadonlySet<string>;
  readonly trace: DamageTrace;
  readonly health: ReadonlyMap<string, PointHealth>;
  readonly selectedIds: ReadonlySet<string>;
  readonly unlistedFiles: readonly string[];
  /** Why the result could not be recorded; empty when it was recorded. */
  readonly recordFailure: string;
}

/** Time between two saves. A killed verify loses at most this time and the container being read. */
const SAVE_EVERY_MS = 5000;

/** Selectors that apply to every VM. */
export const ALL_VMS: ReadonlySet<string> = new Set(['latest', 'all']);

/** Without a VM name the point selects the VM. */
function hasPoint(metadata: ChainMetadata, selector: string): boolean {
  return ALL_VMS.has(selector) || fittingPoints(metadata.points, selector).length > 0;
}

/**
 * Random number from 0 to below 1, from the system's generator. Nobody must be able to predict the
 * sample.
 */
function random(): number {
  return randomBytes(4).readUInt32LE() / 2 ** 32;
}

function byFile(entries: Iterable<VerifiedContainer>): Map<string, VerifiedContainer> {
  return new Map([...entries].map((entry) => [entry.fileName, entry]));
}

export class VmCheck {
  /** Points whose containers are checked. */
  readonly points: readonly RestorePoint[];
  readonly #folder: VmFolder;
  readonly #metadata: ChainMetadata;
  readonly #selected: readonly RestorePoint[];
  readonly #options: VmCheckOptions;
  readonly #known: ReadonlyMap<string, VerifiedContainer>;
  /** By file name: results of the interrupted verify that still hold. */
  readonly #resumable: ReadonlyMap<string, VerifiedContainer>;
  readonly #pass: VerifyPass;
  readonly #results = new Map<string, VerifiedContainer>();
  readonly #resumedFiles = new Set<string>();
  #savedAtMs = performance.now();
  #recordFailure = '';
  #recording: Promise<void> = Promise.resolve();

  private constructor(
    folder: VmFolder,
    metadata: ChainMetadata,
    selected: readonly RestorePoint[],
    options: VmCheckOptions,
    record: VerifyRecord,
    known: ReadonlyMap<string, VerifiedContainer>,
  ) {
    this.#folder = folder;
    this.#metadata = metadata;
    this.#selected = selected;
    this.#options = options;
    this.#known = known;
    const { point, sampleRatio, resume } = options;
    const interrupted = resume && !record.run?.finishedAt ? record.run : undefined;
    const startedAt = interrupted?.startedAt ?? new Date().toISOString();
    this.#pass = { startedAt, point, sampleRatio };
    const isDone = (entry: VerifiedContainer): boolean =>
      entry.verifiedAt >= startedAt && entry.sampleRatio >= sampleRatio;
    this.#resumable = interrupted ? byFile([...known.values()].filter(isDone)) : new Map();
    const isAll = point === 'all';
    this.points = isAll ? selected : selected.flatMap((one) => chainTo(metadata.points, one));
  }

  /**
   * Plans the check of a folder. Undefined when the folder holds no selected point.
   *
   * @throws a {@link BackupError}: `USAGE_NOT_FOUND`, `REPOSITORY_METADATA_INVALID`,
   *   `CHAIN_PARENT_MISSING`
   */
  static async plan(folder: VmFolder, options: VmCheckOptions): Promise<VmCheck | undefined> {
    const metadata = await folder.readMetadata();
    if (!metadata || metadata.points.length === 0) return undefined;
    options.progress.nameVm(metadata.vm);
    const { isNamed, point } = options;
    if (!isNamed && !hasPoint(metadata, point)) return undefined;
    const selected = point === 'all' ? metadata.points : [selectPoint(metadata, point)];
    const record = await readVerifyRecord(folder.place);
    const known = await currentContainers(folder.place, record);
    return new VmCheck(folder, metadata, selected, options, record, known);
  }

  /** Records the containers checked so far, so that a later verify can resume. */
  async save(): Promise<void> {
    this.#savedAtMs = performance.now();
    await this.#record((record) => ({
      ...record,
      run: this.#pass,
      containers: [...byFile([...record.containers, ...this.#results.values()]).values()],
    }));
  }

  /** Checks the container of one of {@link points}, and saves the results every few seconds. */
  async check(
    point: RestorePoint,
    resources: PipelineResources,
    codecs: BlockCodecs,
  ): Promise<void> {
    const { fileName, pointId } = point;
    const done = this.#resumable.get(fileName);
    if (done?.pointId === pointId) {
      this.#results.set(fileName, done);
      this.#resumedFiles.add(fileName);
      return;
    }
    const { place: folder } = this.#folder;
    this.#options.progress.phase('verifying');
    const identity = await identifyFile(folder, fileName);
    const found = await this.#verify(point, resources, codecs);
    const { sampleRatio } = this.#options;
    const verifiedAt = new Date().toISOString();
    // The record had no room for all damage, and a sample can miss the rest. So the mark stays.
    const wasTruncated = sampleRatio < 1 && this.#known.get(fileName)?.isTruncated === true;
    this.#results.set(fileName, {
      fileName,
      pointId,
      ...identity,
      verifiedAt,
      sampleRatio,
      ...found,
      isTruncated: found.isTruncated || wasTruncated,
    });
    if (performance.now() - this.#savedAtMs >= SAVE_EVERY_MS) await this.save();
  }

  async #verify(
    point: RestorePoint,
    resources: PipelineResources,
    codecs: BlockCodecs,
  ): ReturnType<typeof verifyContainer> {
    const { place: folder } = this.#folder;
    const { sampleRatio, progress } = this.#options;
    const { vm, points } = this.#metadata;
    const parentPoint = points.find((other) => other.pointId === point.parentPointId);
    const known = this.#known.get(point.fileName)?.damagedBlocks ?? [];
    return await verifyContainer(folder, point, {
      vmId: vm.id,
      parentPoint,
      resources,
      codecs,
      sampleRatio,
      random,
      knownDamage: new Set(known.map((block) => block.blockId)),
      parent: parentPoint && (await readAllFingerprints(folder, parentPoint, codecs)),
      onProgress: (checked, total) => progress.containerChecked(point.fileName, checked, total),
    });
  }

  /** Finds the points that need damaged blocks, and records the end of this verify. */
  async finish(): Promise<VmFindings> {
    const { place: folder } = this.#folder;
    // Other commands may have added or removed points meanwhile.
    const metadata = (await this.#folder.readMetadata()) ?? this.#metadata;
    const { points } = metadata;
    const listed = new Set(points.map((point) => point.fileName));
    const merged = [...byFile([...this.#known.values(), ...this.#results.values()]).values()];
    const checked = merged.filter((entry) => listed.has(entry.fileName));
    const trace = await traceDamage(folder, points, damagedIds(checked));
    const entries = byFile(withDependents(checked, points, trace));
    const health = healthOfPoints(points, entries);
    const selectedIds = new Set(this.#selected.map((point) => point.pointId));
    const isDamaged = [...selectedIds].some((pointId) => health.get(pointId)?.isDamaged);
    const outcome = isDamaged ? 'damaged' : 'ok';
    // A container that could not be reached is left for a verify that resumes this one.
    const isComplete = this.points.every(({ fileName }) => this.#results.has(fileName));
    const finished = { ...this.#pass, finishedAt: new Date().toISOString(), outcome } as const;
    const run = isComplete ? finished : this.#pass;
    await this.#record((record) => {
      const kept = record.containers.filter((entry) => listed.has(entry.fileName));
      // Another verify may have checked a container later than this one.
      const isOld = (entry: VerifiedContainer): boolean =>
        entry.verifiedAt <= (entries.get(entry.fileName)?.verifiedAt ?? '');
      const newer = kept.filter((entry) => !isOld(entry));
      return { ...record, run, containers: [...byFile([...entries.values(), ...newer]).values()] };
    });
    const unlistedFiles = (await this.#folder.containerNames()).filter((name) => !listed.has(name));
    return {
      metadata,
      containers: this.points.flatMap(({ fileName }) =>
        this.#results.has(fileName) ? (entries.get(fileName) ?? []) : [],
      ),
      resumedFiles: this.#resumedFiles,
      trace,
      health,
      selectedIds,
      unlistedFiles,
      recordFailure: this.#recordFailure,
    };
  }

  /** Makes one update at a time. A repository that cannot be written can still be verified. */
  async #record(change: (record: VerifyRecord) => VerifyRecord): Promise<void> {
    this.#recording = this.#recording.then(async () => {
      try {
        await updateVerifyRecord(this.#folder.place, change);
      } catch (error) {
        if (!(error instanceof RepositoryError)) throw error;
        this.#recordFailure = error.message;
        this.#options.log.warn({ code: error.code }, 'the result of verify could not be recorded');
      }
    });
    await this.#recording;
  }
}
