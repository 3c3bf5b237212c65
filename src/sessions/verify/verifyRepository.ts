/**
 * Verifies a repository: all containers that the selected restore points need, a few at the same
 * time.
 */
import { toFailure } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { Repository } from '../../repository/repository.ts';
import {
  keepFailure,
  keepReport,
  type KeptSession,
  type ReportedFailure,
  startSession,
} from '../history/keepReport.ts';
import { type FolderFailure, forEachFolder } from '../shared/folderFailures.ts';
import { type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import { noSuchPoint } from '../shared/selectPoint.ts';
import {
  checkRatio,
  forEachLimited,
  resolveWorkers,
  PipelineResources,
} from '../shared/pipelineResources.ts';
import {
  type FoundDamage,
  MAX_LISTED_DAMAGE,
  reportVm,
  type VerifiedFile,
  type VerifiedPoint,
  type VmReport,
} from './verifyReport.ts';
import { checkLocks } from './checkLocks.ts';
import { ALL_VMS, VmCheck, type VmFindings } from './verifyVm.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { StoreOptions } from '../../store/store.ts';
import { placeOptions } from '../shared/startRepository.ts';

export interface VerifyOptions extends VmVerifyOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VM name or id. @defaultValue every VM */
  readonly vm?: string | undefined;
}

export interface VmVerifyOptions {
  /** Number or id of the point, the beginning of its id, `latest` or `all`. @defaultValue latest */
  readonly point?: string | undefined;
  /**
   * Share of the stored blocks to read, above 0 and at most 1. Blocks known to be damaged are
   * always read. @defaultValue 1
   */
  readonly sampleRatio?: number | undefined;
  /**
   * Skip containers that an interrupted verify has checked and that have not changed since.
   * @defaultValue false
   */
  readonly resume?: boolean | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

interface FoldersVerifyOptions extends VmVerifyOptions {
  /** The user named the VM: a point that it does not have is an error. @defaultValue false */
  readonly isNamed?: boolean | undefined;
}

export interface VerifyReport {
  readonly type: 'verify';
  /** Absent when files were verified. */
  readonly repository?: string | undefined;
  readonly durationSeconds: number;
  /** `damaged` when a selected restore point is damaged. */
  readonly outcome: 'ok' | 'damaged';
  readonly files: readonly VerifiedFile[];
  /** Selected points, and all damaged points. */
  readonly points: readonly VerifiedPoint[];
  /**
   * The first 1000 findings in the containers that were read, also in blocks that no point needs
   * any more.
   */
  readonly damage: readonly FoundDamage[];
  readonly damageCount: number;
  /** Containers in a VM folder that its chain metadata does not name. */
  readonly unlistedFiles: readonly { readonly vmName: string; readonly fileName: string }[];
  /** VM folders that could not be checked. */
  readonly failures: readonly FolderFailure[];
  /**
   * False when the result could not be written to some VM folder. Absent when files were verified:
   * their result is recorded nowhere.
   */
  readonly isRecorded?: boolean | undefined;
  /**
   * Locks that end too early (REPO-551), and reports that were not kept. Absent when files were
   * verified.
   */
  readonly messages?: readonly SessionMessage[] | undefined;
}

/** Findings in a report that is kept. */
const MAX_KEPT_DAMAGE = 100;

/**
 * Containers that are read at the same time. Their metadata is checked on this thread; with one
 * container the workers would wait meanwhile.
 */
const MAX_PARALLEL_CONTAINERS = 4;

class RepositoryCheck {
  readonly failures: FolderFailure[] = [];
  readonly reports: VmReport[] = [];
  readonly session: SessionLog;
  readonly #options: FoldersVerifyOptions;
  readonly #checks = new Map<VmFolder, VmCheck>();
  readonly #progress = new Map<VmFolder, SessionProgress>();
  /** Sessions that have left no report yet. */
  readonly #kept = new Map<VmFolder, KeptSession>();
  /** Folders of which a container was read, or is being read. */
  readonly #begun = new Set<VmFolder>();

  constructor(options: FoldersVerifyOptions) {
    this.#options = options;
    this.session = new SessionLog(options, {});
  }

  async checkFolders(folders: readonly VmFolder[]): Promise<void> {
    try {
      await this.#checkFolders(folders);
    } catch (error) {
      for (const progress of this.#progress.values()) progress.end(progress.resultOf(error));
      const failure = toFailure(error, this.#options.signal);
      for (const folder of this.#begun) await this.#keepFailure(folder, failure);
      throw error;
    }
    const failed = new Set(this.failures.map(({ folder }) => folder));
    for (const failure of this.failures) {
      const folder = folders.find((one) => one.folder === failure.folder);
      if (folder) await this.#keepFailure(folder, failure);
    }
    for (const [{ folder }, progress] of this.#progress) {
      progress.end(failed.has(folder) ? 'failed' : 'done');
    }
  }

  async #checkFolders(folders: readonly VmFolder[]): Promise<void> {
    await this.#eachFolder(folders, (folder) => this.#plan(folder));
    await this.#checkAll();
    await this.#eachFolder([...this.#checks.keys()], async (folder) => {
      const findings = await this.#checks.get(folder)?.finish();
      if (!findings) return;
      const report = reportVm(findings);
      this.reports.push(report);
      await this.#checkLocks(folder, findings);
      await this.#keep(folder, findings, report);
    });
  }

  async #keep(folder: VmFolder, { metadata }: VmFindings, report: VmReport): Promise<void> {
    const kept = this.#takeKept(folder);
    if (!kept) return;
    const { vm } = metadata;
    const isDamaged = report.points.some((point) => point.isSelected && point.isDamaged);
    const facts = { type: 'verify', vmName: vm.name, vmId: vm.id, ...shortReport(report) };
    // A container that could not be read. The others were checked.
    const failure = this.failures.find((one) => one.folder === folder.folder);
    await keepReport(folder, kept, facts, failure ?? (isDamaged ? damageOf(report) : undefined));
  }

  async #keepFailure(folder: VmFolder, failure: ReportedFailure): Promise<void> {
    const kept = this.#takeKept(folder);
    if (kept) await keepFailure(folder, kept, failure);
  }

  /** A session leaves one report. */
  #takeKept(folder: VmFolder): KeptSession | undefined {
    const kept = this.#kept.get(folder);
    this.#kept.delete(folder);
    return kept;
  }

  async #checkLocks({ place }: VmFolder, { metadata, containers }: VmFindings): Promise<void> {
    const checked = new Set(containers.map(({ fileName }) => fileName));
    const points = metadata.points.filter(({ fileName }) => checked.has(fileName));
    const messages = await checkLocks(place, metadata.vm.name, points, new Date());
    for (const message of messages) this.session.note(message);
  }

  async #eachFolder(
    folders: readonly VmFolder[],
    work: (folder: VmFolder) => Promise<void>,
  ): Promise<void> {
    this.failures.push(...(await forEachFolder(folders, work)));
  }

  async #plan(folder: VmFolder): Promise<void> {
    const { isNamed = false, point = 'latest', sampleRatio = 1, resume = false } = this.#options;
    const { logger: log = silentLogger } = this.#options;
    const started = startSession('verify');
    const facts = { sessionId: started.sessionId, vmName: folder.safeName };
    const progress = new SessionProgress(this.#options, log, facts);
    this.#progress.set(folder, progress);
    this.#kept.set(folder, { ...started, session: this.session, signal: this.#options.signal });
    progress.phase('preparing');
    const options = { isNamed, point, sampleRatio, resume, log, progress };
    const check = await VmCheck.plan(folder, options);
    if (check) this.#checks.set(folder, check);
  }

  /** One slab and one worker pool serve all containers. The slab fits the largest block size. */
  async #checkAll(): Promise<void> {
    const { workers, signal } = this.#options;
    const checks = [...this.#checks.values()];
    const jobs = [...this.#checks].flatMap(([folder, check]) =>
      check.points.map((point) => ({ folder, check, point })),
    );
    if (jobs.length === 0) return;
    const codecs = await createBlockCodecs();
    const blockSizeBytes = Math.max(...jobs.map(({ point }) => point.blockSizeBytes));
    await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
    resources.start();
    const parallel = Math.min(MAX_PARALLEL_CONTAINERS, Math.max(1, resolveWorkers(workers)));
    try {
      await forEachLimited(jobs, parallel, async ({ folder, check, point }) => {
        resources.signal.throwIfAborted();
        this.#begun.add(folder);
        const work = (): Promise<void> => check.check(point, resources, codecs);
        await this.#eachFolder([folder], work);
      });
    } catch (error) {
      for (const check of checks) await check.save();
      throw error;
    }
  }
}

/**
 * Verifies restore points: structure, the facts in containers against the chain metadata, stored
 * blocks (bounds, CRC-32C, MD5, fingerprint) and the links of the chain. Damage is reported, not
 * thrown. It is also recorded in the folder of its VM: `list` shows it, and the next session heals
 * what it can. A container whose lock against deletion ends before the recorded time is told by
 * message REPO-551.
 *
 * Takes no lock, because containers never change. When points are added or removed meanwhile, the
 * report uses the chain metadata at the end.
 *
 * @throws a {@link BackupError} when the repository, the VM or its chain metadata cannot be opened
 */
export async function verifyRepository(options: VerifyOptions): Promise<VerifyReport> {
  checkRatio('sample', options.sampleRatio ?? 1);
  try {
    await using repository = await Repository.open(options.repository, placeOptions(options));
    const isNamed = options.vm !== undefined;
    const folders = options.vm
      ? [await repository.requireVm(options.vm)]
      : await repository.vmFolders();
    const report = await verifyFolders(repository, folders, { ...options, isNamed });
    const { vm, point = 'latest' } = options;
    const isEmpty = report.files.length === 0 && report.failures.length === 0;
    if (!vm && isEmpty && !ALL_VMS.has(point)) {
      throw noSuchPoint(point);
    }
    const { outcome, damageCount } = report;
    options.logger?.info({ files: report.files.length, damageCount, outcome }, 'verified');
    return report;
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}

/** {@link verifyRepository} for some VMs of a repository that the caller has opened. */
export async function verifyFolders(
  repository: Repository,
  folders: readonly VmFolder[],
  options: FoldersVerifyOptions,
): Promise<VerifyReport> {
  const startedAtMs = performance.now();
  const check = new RepositoryCheck(options);
  await check.checkFolders(folders);
  return toReport(check, repository.root, startedAtMs);
}

/** A report for the history. Lists of damage may be long, and the record of verify has them. */
function shortReport(report: VmReport): Omit<VmReport, 'damage'> & { damage: object[] } {
  const damage = report.damage
    .slice(0, MAX_KEPT_DAMAGE)
    .map(({ fileName, pointId, code, message }) => ({ fileName, pointId, code, message }));
  return { ...report, damage };
}

function damageOf({ damageCount }: VmReport): ReportedFailure {
  return {
    code: 'INTEGRITY_DAMAGE_FOUND',
    message: `a verified restore point is damaged, findings: ${damageCount}`,
    hint: 'run "ovirt-cbt verify --vm NAME" again: it names the blocks and the points',
  };
}

function toReport(check: RepositoryCheck, repository: string, startedAtMs: number): VerifyReport {
  const { reports, failures } = check;
  const points = reports.flatMap((report) => report.points);
  const isDamaged = points.some((point) => point.isSelected && point.isDamaged);
  return {
    type: 'verify',
    repository,
    durationSeconds: (performance.now() - startedAtMs) / 1000,
    outcome: isDamaged ? 'damaged' : 'ok',
    files: reports.flatMap((report) => report.files),
    points,
    damage: reports.flatMap((report) => report.damage).slice(0, MAX_LISTED_DAMAGE),
    damageCount: reports.reduce((sum, report) => sum + report.damageCount, 0),
    unlistedFiles: reports.flatMap((report) => report.unlistedFiles),
    failures,
    isRecorded: reports.every((report) => report.recordFailure === ''),
    messages: check.session.messages,
  };
}
