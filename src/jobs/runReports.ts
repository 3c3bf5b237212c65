/** Reports of runs in a repository: the newest ones of each job, in the folder `runs`. */
import { z } from 'zod';
import { UsageError } from '../core/errors.ts';
import type { Repository } from '../repository/repository.ts';
import { encodeReport } from '../sessions/history/keepReport.ts';
import {
  type ListReportsOptions,
  readNewest,
  readReport,
} from '../sessions/history/listReports.ts';
import { compactTime, idStartOf, newestFirst } from '../sessions/history/sessionFiles.ts';
import { messageSchema, sessionReportSchema } from '../sessions/history/sessionRecord.ts';
import type { StoreFolder } from '../store/store.ts';
import type { RunReport } from './runReport.ts';

const FOLDER = 'runs';
/** Reports of a job that are kept. */
export const MAX_RUN_REPORTS = 400;
const NAME = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})-(\d{8}T\d{9}Z)-([0-9a-f]{8})\.json$/;

/** What the name of a report tells. */
export interface RunFile {
  readonly fileName: string;
  readonly job: string;
  /** Start of the run, as `compactTime` gives it. */
  readonly time: string;
  /** The first eight digits of the run's id. */
  readonly idStart: string;
}

const text = z.string();
const number = z.number();
const failureSchema = z.looseObject({ code: text, message: text, hint: text });

const vmSchema = z.looseObject({
  vmName: text,
  vmId: text,
  outcome: z.enum(['success', 'warning', 'failure', 'notStarted']),
  attempts: number,
  report: sessionReportSchema.optional(),
  failure: failureSchema.extend({ vmName: text }).optional(),
});

const pruneSchema = z.looseObject({
  dryRun: z.boolean(),
  vms: z.array(
    z.looseObject({
      vmName: text,
      vmId: text,
      points: z.array(z.looseObject({ pointId: text, number, fileBytes: number, action: text })),
      deletedBytes: number,
      writtenBytes: number,
      failure: failureSchema.optional(),
      messages: z.array(messageSchema),
    }),
  ),
});

const verifySchema = z.looseObject({
  outcome: z.enum(['ok', 'damaged']),
  damageCount: number,
  damagedVms: z.array(text),
  readBytes: number,
  durationSeconds: number,
  failures: z.array(failureSchema),
  messages: z.array(messageSchema).optional(),
});

const copySchema = z.looseObject({
  from: text,
  to: text,
  durationSeconds: number,
  vms: z.array(
    z.looseObject({
      vmName: text,
      copied: z.array(z.looseObject({ pointId: text, number, fileBytes: number })),
      presentCount: number,
      failed: z.array(failureSchema),
      messages: z.array(messageSchema),
    }),
  ),
  failures: z.array(failureSchema),
});

/** Checks what pages and mails show. Fields that it does not know are kept. */
const runReportSchema = z.looseObject({
  type: z.literal('run'),
  runId: text.min(8).max(100),
  jobName: text,
  repository: text,
  trigger: z.enum(['command', 'schedule', 'console']),
  isPartial: z.boolean().optional(),
  slot: text.optional(),
  startedAt: z.iso.datetime(),
  durationSeconds: number,
  outcome: z.enum(['success', 'warning', 'failure']),
  vms: z.array(vmSchema),
  vanishedVms: z.array(text),
  newVms: z.array(text),
  missedSlots: z.array(text),
  hooks: z.array(
    z.looseObject({
      when: z.enum(['before', 'after']),
      program: text,
      exitCode: number.optional(),
      durationSeconds: number,
      timedOut: z.boolean(),
    }),
  ),
  failedSteps: z.array(failureSchema.extend({ step: text })),
  prune: pruneSchema.optional(),
  verify: verifySchema.optional(),
  copy: copySchema.optional(),
  messages: z.array(messageSchema),
}) as unknown as z.ZodType<RunReport>;

function runFilesIn(names: readonly string[]): RunFile[] {
  return names.flatMap((fileName) => {
    const [, job, time = '', idStart = ''] = NAME.exec(fileName) ?? [];
    return job === undefined ? [] : { fileName, job, time, idStart };
  });
}

/**
 * Keeps the report of a run, and deletes the oldest ones of its job.
 *
 * @throws {@link RepositoryError} what the place throws; `REPOSITORY_METADATA_INVALID` for a report
 *   above 8 MiB
 */
export async function saveRunReport(
  { store }: Pick<Repository, 'store'>,
  report: RunReport,
): Promise<void> {
  const { jobName, runId, startedAt } = report;
  const fileName = `${jobName}-${compactTime(startedAt)}-${idStartOf(runId)}.json`;
  const text = encodeReport(report);
  await store.makeFolder(FOLDER);
  const folder = store.folder(FOLDER);
  await folder.writeShared(fileName, text);
  await removeOldest(folder, jobName);
}

async function removeOldest(folder: StoreFolder, jobName: string): Promise<void> {
  const files = runFilesIn(await folder.fileNames()).filter(({ job }) => job === jobName);
  const old = files.toSorted(newestFirst).slice(MAX_RUN_REPORTS);
  if (old.length > 0) await folder.remove(old.map(({ fileName }) => fileName));
}

export interface ListRunsOptions extends ListReportsOptions {
  /** @defaultValue every job */
  readonly job?: string | undefined;
  /** Only runs with outcome `failure`. @defaultValue false */
  readonly onlyFailed?: boolean | undefined;
}

/** Reports of runs, newest first. @throws {@link RepositoryError} what the place throws */
export async function listRunReports(
  { store }: Pick<Repository, 'store'>,
  options: ListRunsOptions = {},
): Promise<RunReport[]> {
  const place = store.folder(FOLDER);
  const files = runFilesIn(await namesIn({ store }));
  const { job, onlyFailed = false } = options;
  const ofJob = files.filter((file) => job === undefined || file.job === job);
  return await readNewest(
    ofJob.map((file) => ({ ...file, place })),
    runReportSchema,
    options,
    ({ outcome }) => outcome === 'failure' || !onlyFailed,
  );
}

/** Names of all reports of runs, newest first. @throws {@link RepositoryError} */
export async function listRunFiles(repository: Pick<Repository, 'store'>): Promise<RunFile[]> {
  return runFilesIn(await namesIn(repository)).toSorted(newestFirst);
}

/** Undefined for a file that is gone, or that is no report. @throws {@link RepositoryError} */
export async function readRunFile(
  { store }: Pick<Repository, 'store'>,
  { fileName }: RunFile,
): Promise<RunReport | undefined> {
  return await readReport(store.folder(FOLDER), fileName, runReportSchema, undefined);
}

/** A repository of an older version has no such folder. */
async function namesIn({ store }: Pick<Repository, 'store'>): Promise<string[]> {
  const top = (await store.names()) ?? [];
  return top.includes(FOLDER) ? await store.folder(FOLDER).fileNames() : [];
}

/**
 * The report of one run.
 *
 * @param run - id, its beginning from eight characters on, or `latest`.
 * @throws {@link UsageError} `USAGE_NOT_FOUND`
 */
export async function readRunReport(
  { store }: Pick<Repository, 'store'>,
  job: string,
  run = 'latest',
  options: Pick<ListReportsOptions, 'onMessage'> = {},
): Promise<RunReport> {
  const files = runFilesIn(await namesIn({ store })).filter(
    (file) => file.job === job && (run === 'latest' || file.idStart === idStartOf(run)),
  );
  for (const { fileName } of files.toSorted(newestFirst)) {
    const place = store.folder(FOLDER);
    const report = await readReport(place, fileName, runReportSchema, options.onMessage);
    if (report && (run === 'latest' || report.runId.startsWith(run))) return report;
  }
  throw new UsageError('USAGE_NOT_FOUND', `no report of a run "${run}" of job ${job}`, {
    hint: 'run "ovirt-cbt history --job NAME --json" for the ids of its runs',
  });
}
