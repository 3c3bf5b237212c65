/** Verifies files that are given by their paths: each of them, and that they are a chain. */
import { randomBytes, randomUUID } from 'node:crypto';
import path from 'node:path';
import { type BlockCodecs, createBlockCodecs } from '../../compute/blockCodecs.ts';
import { type BackupError, type ErrorCode, toFailure } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { isLostBytes } from '../../repository/damage/salvageView.ts';
import { type ChainFile, openChainFile } from '../../repository/files/chainFile.ts';
import {
  checkPaths,
  chooseVm,
  closeFiles,
  composeChain,
} from '../../repository/files/fileChain.ts';
import { PointReader } from '../../repository/pointReader.ts';
import type { Problem } from '../../repository/damage/verifyRecord.ts';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';
import { DiskView } from '../../repository/restorePointView.ts';
import { checkRatio, PipelineResources } from '../shared/pipelineResources.ts';
import { type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { fingerprintsOf } from '../verify/parentFingerprints.ts';
import { type ContainerCheck, unreadable, verifyOpened } from '../verify/verifyContainer.ts';
import { type FoundDamage, MAX_LISTED_DAMAGE } from '../verify/verifyReport.ts';
import type { VerifyReport } from '../verify/verifyRepository.ts';

export interface VerifyFilesOptions {
  /** Containers of a chain, oldest first: ours, or those of others. */
  readonly files: readonly string[];
  /**
   * Name, folder or id of the VM whose chain is checked. All blocks of the files are checked
   * anyway.
   *
   * @defaultValue every VM of the last file
   */
  readonly vm?: string | undefined;
  /** Share of the stored blocks to read, above 0 and at most 1. @defaultValue 1 */
  readonly sampleRatio?: number | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** A file that was given by mistake, or that nobody here can read, is not damaged. */
const NOT_DAMAGED: ReadonlySet<ErrorCode> = new Set(['FORMAT_UNSUPPORTED', 'FORMAT_BAD_MAGIC']);

/** A given file. `opened` is undefined when it cannot be read. */
interface Given {
  readonly point: RestorePoint;
  readonly vmName: string;
  readonly file: ChainFile | undefined;
  readonly loss: BackupError | undefined;
}

interface Checked {
  readonly given: Given;
  readonly found: ContainerCheck;
  readonly verifiedAt: string;
}

/** A point for the report: our own, or one that stands for the whole file. */
function pointOf(file: string, at: number, opened: ChainFile | undefined): RestorePoint {
  if (opened?.own) return opened.own.point;
  const id = opened?.storage.storage?.id || `file-${at + 1}`;
  return {
    pointId: id,
    number: at + 1,
    type: 'full',
    chainId: id,
    parentPointId: '',
    fileName: path.basename(file),
    createdAt: opened?.vms[0]?.createdAt ?? '',
    checkpointId: '',
    blockSizeBytes: opened?.reader.blockSizeBytes ?? 0,
    fileBytes: opened?.reader.snapshot.fileBytes ?? 0,
    disks: [],
  };
}

async function openGiven(file: string, at: number, codecs: BlockCodecs): Promise<Given> {
  try {
    const opened = await openChainFile(file, codecs);
    const vmName = opened.vms.map((vm) => vm.name).join(', ');
    return { point: pointOf(file, at, opened), vmName, file: opened, loss: undefined };
  } catch (error) {
    if (!isLostBytes(error) || NOT_DAMAGED.has(error.code)) throw error;
    return { point: pointOf(file, at, undefined), vmName: '', file: undefined, loss: error };
  }
}

class FilesCheck {
  readonly #options: VerifyFilesOptions;
  readonly #codecs: BlockCodecs;
  readonly #progress: SessionProgress;
  readonly #given: readonly Given[];

  constructor(
    options: VerifyFilesOptions,
    codecs: BlockCodecs,
    progress: SessionProgress,
    given: readonly Given[],
  ) {
    this.#options = options;
    this.#codecs = codecs;
    this.#progress = progress;
    this.#given = given;
  }

  /** Damage of the chains, such as a disk that a file does not hold. Wrong files are thrown. */
  async checkChains(): Promise<Problem[]> {
    const files = this.#given.flatMap(({ file }) => file ?? []);
    const last = files.at(-1);
    // Without all files nobody knows whether the others are a chain.
    if (files.length < this.#given.length || !last) return [];
    const { vm, onMessage } = this.#options;
    const told = new Set<string>();
    const problems: Problem[] = [];
    for (const one of vm === undefined ? last.vms : [chooseVm(last, vm)]) {
      const { members, point, messages } = await composeChain(files, one);
      for (const message of messages) {
        if (!told.has(message.text)) onMessage?.(message);
        told.add(message.text);
      }
      for (const disk of point.disks) problems.push(...(await diskProblem(members, disk)));
    }
    return problems;
  }

  async checkFiles(): Promise<Checked[]> {
    const { workers, signal } = this.#options;
    const rooms = this.#given.map(({ point }) => point.blockSizeBytes);
    const opened = await Promise.all(this.#given.map((given) => readerOf(given)));
    const room = Math.max(...rooms, ...opened.map((one) => one?.blockRoomBytes ?? 0));
    const blockSizeBytes = Math.max(room, 512);
    await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
    resources.start();
    const results: Checked[] = [];
    for (const [at, given] of this.#given.entries()) {
      resources.signal.throwIfAborted();
      this.#progress.phase('verifying');
      const own = opened[at];
      const found = own
        ? await this.#checkFile(own, opened, resources)
        : unreadable(given.point.fileName, given.loss as BackupError);
      results.push({ given, found, verifiedAt: new Date().toISOString() });
    }
    return results;
  }

  async #checkFile(
    opened: PointReader,
    all: readonly (PointReader | undefined)[],
    resources: PipelineResources,
  ): Promise<ContainerCheck> {
    const { parentPointId, fileName } = opened.point;
    const parent = all.find((other) => other?.point.pointId === parentPointId && other !== opened);
    const codecs = this.#codecs;
    const own = this.#given.find(({ file }) => file?.reader === opened.reader)?.file?.own;
    return await verifyOpened(opened, {
      vmId: own?.vm.id ?? '',
      parentPoint: parent?.point,
      resources,
      codecs,
      sampleRatio: this.#options.sampleRatio ?? 1,
      random: () => randomBytes(4).readUInt32LE() / 2 ** 32,
      knownDamage: new Set(),
      parent: parent?.hasFingerprints ? await fingerprintsOf(parent, codecs) : undefined,
      onProgress: (checked, total) => this.#progress.containerChecked(fileName, checked, total),
    });
  }
}

async function diskProblem(members: readonly PointReader[], disk: DiskPoint): Promise<Problem[]> {
  try {
    await DiskView.compose(members, disk);
    return [];
  } catch (error) {
    if (!isLostBytes(error) || error.code === 'FORMAT_UNSUPPORTED') throw error;
    return [{ code: error.code, message: error.message }];
  }
}

/** Adds problems of the chain to the last file, unless its cause was found in a file already. */
function withChainProblems(checked: readonly Checked[], problems: readonly Problem[]): Checked[] {
  const isKnown = checked.some(({ found }) => found.findingCount > 0);
  if (isKnown || problems.length === 0) return [...checked];
  return checked.map((one, at) => {
    if (at < checked.length - 1) return one;
    return { ...one, found: { ...one.found, problems, findingCount: problems.length } };
  });
}

async function readerOf({ file, point }: Given): Promise<PointReader | undefined> {
  if (!file) return undefined;
  if (file.own) return await PointReader.check(file.reader, point);
  return PointReader.ofFolder(file.reader, point, file.items, '');
}

/** Points of the files from `at` on, which build on it. */
function affected(checked: readonly Checked[], at: number): string[] {
  return checked.slice(at).map(({ given }) => given.point.pointId);
}

function damageOf(checked: readonly Checked[], at: number): FoundDamage[] {
  const { given, found } = checked[at] as Checked;
  const { fileName, pointId } = given.point;
  const place = { vmName: given.vmName, fileName, pointId };
  const affectedPointIds = affected(checked, at);
  return [
    ...found.problems.map((problem) => ({ ...place, ...problem, affectedPointIds })),
    ...found.damagedBlocks.map(({ blockId, offsetBytes, code, message }) => ({
      ...place,
      code,
      message,
      blockId,
      offsetBytes,
      affectedPointIds,
    })),
  ];
}

function toReport(checked: readonly Checked[], startedAtMs: number): VerifyReport {
  const counts = checked.map(({ found }) => found.findingCount);
  const damageCount = counts.reduce((sum, count) => sum + count, 0);
  const firstDamaged = counts.findIndex((count) => count > 0);
  return {
    type: 'verify',
    durationSeconds: (performance.now() - startedAtMs) / 1000,
    outcome: damageCount > 0 ? 'damaged' : 'ok',
    files: checked.map(({ given, found, verifiedAt }) => ({
      vmName: given.vmName,
      fileName: given.point.fileName,
      pointId: given.point.pointId,
      pointNumber: given.point.number,
      verifiedAt,
      isResumed: false,
      checkedBlocks: found.checkedBlocks,
      skippedBlocks: found.skippedBlocks,
      storedBytesRead: found.storedBytesRead,
      plainBytes: found.plainBytes,
      damageCount: found.findingCount,
    })),
    points: checked.map(({ given }, at) => ({
      vmName: given.vmName,
      pointId: given.point.pointId,
      pointNumber: given.point.number,
      isSelected: true,
      isDamaged: firstDamaged >= 0 && at >= firstDamaged,
    })),
    damage: checked.flatMap((_, at) => damageOf(checked, at)).slice(0, MAX_LISTED_DAMAGE),
    damageCount,
    unlistedFiles: [],
    failures: [],
  };
}

async function verifyWith(
  options: VerifyFilesOptions,
  progress: SessionProgress,
): Promise<VerifyReport> {
  const startedAtMs = performance.now();
  progress.phase('preparing');
  await checkPaths(options.files);
  const codecs = await createBlockCodecs();
  const given: Given[] = [];
  try {
    for (const [at, file] of options.files.entries()) {
      given.push(await openGiven(file, at, codecs));
    }
    const check = new FilesCheck(options, codecs, progress, given);
    const problems = await check.checkChains();
    const checked = withChainProblems(await check.checkFiles(), problems);
    const report = toReport(checked, startedAtMs);
    const { outcome, damageCount } = report;
    options.logger?.info({ files: report.files.length, damageCount, outcome }, 'verified');
    return report;
  } finally {
    await closeFiles(given.flatMap(({ file }) => file ?? []));
  }
}

/**
 * Verifies every stored block of all given files, their structure, and that the files are a chain
 * as far as their ids tell. Files of ours are checked against their fingerprints too. Damage is
 * reported, not thrown, and recorded nowhere. All files after a damaged one count as damaged.
 *
 * @throws a {@link BackupError} for files that are no chain, and for data that nobody here can
 *   read: other versions, encrypted, RLE
 */
export async function verifyFiles(options: VerifyFilesOptions): Promise<VerifyReport> {
  checkRatio('sample', options.sampleRatio ?? 1);
  const session = { sessionId: randomUUID(), vmName: options.vm ?? '' };
  const progress = new SessionProgress(options, options.logger ?? silentLogger, session);
  return await progress.session(async () => {
    try {
      return await verifyWith(options, progress);
    } catch (error) {
      throw toFailure(error, options.signal);
    }
  });
}
