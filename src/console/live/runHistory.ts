/** Past runs of jobs. A report never changes, so each is read once, and its row is kept. */
import { type BackupError, toFailure } from '../../core/errors.ts';
import type { RepositoryConfig } from '../../jobs/jobFile.ts';
import type { RunReport, VmResult } from '../../jobs/runReport.ts';
import { listRunFiles, readRunFile, type RunFile } from '../../jobs/runReports.ts';
import { lastPointsOf } from '../../report/pastPoints.ts';
import { runPage } from '../../report/runPage.ts';
import type { Repository } from '../../repository/repository.ts';
import { idStartOf, newestFirst } from '../../sessions/history/sessionFiles.ts';
import { forEachLimited } from '../../sessions/shared/pipelineResources.ts';
import type { RunRow } from '../contract.ts';
import type { RepositoryAccess } from './repositoryAccess.ts';

const NAMES_VALID_MS = 60_000;
/** Rows of a request. */
const MOST_ROWS = 1000;
/** A report may have 8 MiB. */
const PARALLEL_READS = 2;
/** VMs without a point whose last one is looked for, for a page. */
const MOST_LAST_POINTS = 200;
const RUN_ID = /^[0-9a-f-]{8,100}$/i;

interface PlacedFile extends RunFile {
  readonly config: RepositoryConfig;
}

/** Rows of a repository. `undefined` for a file that is no report. */
interface KnownRuns {
  readonly readAtMs: number;
  readonly files: readonly RunFile[];
  readonly rows: Map<string, RunRow | undefined>;
}

function isBad({ outcome }: VmResult): boolean {
  return outcome === 'failure' || outcome === 'notStarted';
}

/** Sums over all VMs of a run. Pure. */
export function runRowOf(report: RunReport): RunRow {
  const { runId, jobName, startedAt, durationSeconds, outcome, vms } = report;
  const disks = vms.flatMap((vm) => vm.report?.disks ?? []);
  return {
    runId,
    jobName,
    startedAt,
    durationSeconds,
    outcome,
    vmCount: vms.length,
    failedVmCount: vms.filter(isBad).length,
    readBytes: disks.reduce((sum, { readBytes }) => sum + readBytes, 0),
    storedBytes: disks.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
  };
}

export class RunHistory {
  readonly #access: RepositoryAccess;
  readonly #nowMs: () => number;
  readonly #known = new Map<string, KnownRuns>();

  constructor(access: RepositoryAccess, nowMs: () => number) {
    this.#access = access;
    this.#nowMs = nowMs;
  }

  /** A run has left its report there. */
  refresh(place: string): void {
    const known = this.#known.get(place);
    if (known) this.#known.set(place, { ...known, readAtMs: -Infinity });
  }

  /**
   * Rows of runs, newest first. Repositories that do not answer are left out.
   *
   * @param isWanted - by the name of the job.
   * @throws {@link RepositoryError} when no repository answers
   */
  async rows(
    configs: readonly RepositoryConfig[],
    isWanted: (jobName: string) => boolean,
    most: number,
  ): Promise<RunRow[]> {
    const all = await this.#eachPlace(configs, async (config) => {
      const { files } = await this.#names(config);
      return files.filter(({ job }) => isWanted(job)).map((file) => ({ ...file, config }));
    });
    const newest = all.flat().toSorted(newestFirst).slice(0, Math.min(most, MOST_ROWS));
    await this.#eachPlace(configs, async (config) => {
      await this.#readMissing(
        config,
        newest.filter((file) => file.config === config),
      );
      return [];
    });
    return newest.flatMap(({ config, fileName }) => {
      return this.#known.get(config.place)?.rows.get(fileName) ?? [];
    });
  }

  /**
   * The page of a run, or undefined.
   *
   * @param isWanted - by the name of the job.
   * @throws {@link RepositoryError} when no repository answers
   */
  async page(
    configs: readonly RepositoryConfig[],
    isWanted: (jobName: string) => boolean,
    runId: string,
  ): Promise<string | undefined> {
    if (!RUN_ID.test(runId)) return undefined;
    const pages = await this.#eachPlace(configs, async (config) => {
      const { files } = await this.#names(config);
      const fitting = files.filter(({ job, idStart }) => {
        return idStart === idStartOf(runId) && isWanted(job);
      });
      if (fitting.length === 0) return undefined;
      return await this.#access.use(config, async (repository) => {
        return await pageOf(repository, fitting, runId);
      });
    });
    return pages.find((page) => page !== undefined);
  }

  /** @throws the first error when no place answers */
  async #eachPlace<T>(
    configs: readonly RepositoryConfig[],
    work: (config: RepositoryConfig) => Promise<T>,
  ): Promise<T[]> {
    const failures: BackupError[] = [];
    const results = await Promise.all(
      configs.map(async (config) => {
        try {
          return [await work(config)];
        } catch (error) {
          const failure = toFailure(error);
          // The first run makes it.
          if (failure.code !== 'REPOSITORY_NOT_FOUND') failures.push(failure);
          return [];
        }
      }),
    );
    const [first] = failures;
    if (first && failures.length === configs.length) throw first;
    return results.flat();
  }

  async #names(config: RepositoryConfig): Promise<KnownRuns> {
    const { place } = config;
    const known = this.#known.get(place);
    const nowMs = this.#nowMs();
    if (known && nowMs - known.readAtMs <= NAMES_VALID_MS) return known;
    const files = await this.#access.use(config, listRunFiles);
    const kept = files.flatMap(({ fileName }) => {
      return known?.rows.has(fileName) ? [[fileName, known.rows.get(fileName)] as const] : [];
    });
    const names = { readAtMs: nowMs, files, rows: new Map(kept) };
    this.#known.set(place, names);
    return names;
  }

  async #readMissing(config: RepositoryConfig, files: readonly PlacedFile[]): Promise<void> {
    const rows = this.#known.get(config.place)?.rows;
    const missing = files.filter(({ fileName }) => rows && !rows.has(fileName));
    if (missing.length === 0) return;
    await this.#access.use(config, async (repository) => {
      await forEachLimited(missing, PARALLEL_READS, async (file) => {
        const report = await readRunFile(repository, file);
        rows?.set(file.fileName, report && runRowOf(report));
      });
    });
  }
}

async function pageOf(
  repository: Repository,
  files: readonly RunFile[],
  runId: string,
): Promise<string | undefined> {
  for (const file of files) {
    const report = await readRunFile(repository, file);
    if (report?.runId !== runId) continue;
    const without = report.vms.filter((vm) => vm.report === undefined).slice(0, MOST_LAST_POINTS);
    return runPage(report, await lastPointsOf(repository, without, new Date(report.startedAt)));
  }
  return undefined;
}
