/** Reads the reports that sessions left in a repository. */
import type { z } from 'zod';
import { BackupError, UsageError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { isUnreached } from '../../core/systemErrors.ts';
import type { Repository } from '../../repository/repository.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { StoreFolder } from '../../store/store.ts';
import { readTextFile } from '../../store/textFiles.ts';
import { checkRange, forEachLimited } from '../shared/pipelineResources.ts';
import { MAX_REPORT_BYTES } from './keepReport.ts';
import {
  compactTime,
  idStartOf,
  newestFirst,
  type SessionFile,
  sessionFilesIn,
} from './sessionFiles.ts';
import {
  type BackupRecord,
  type SessionRecord,
  sessionRecordSchema,
  type SessionType,
} from './sessionRecord.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;
/** Files that are read at once. A bucket takes a round trip for each. */
const PARALLEL_READS = 8;

export interface ListReportsOptions {
  /** The most reports in the result, the newest ones, 1 to 10 000. @defaultValue 100 */
  readonly limit?: number | undefined;
  /** Gets message REPO-562 for each file that is no report. Such files are left out. */
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
}

export interface ListSessionsOptions extends ListReportsOptions {
  /** VM name or id. @defaultValue every VM */
  readonly vm?: string | undefined;
  /** @defaultValue every type */
  readonly type?: SessionType | undefined;
  /** Only sessions that failed or found damage. @defaultValue false */
  readonly onlyFailed?: boolean | undefined;
}

interface PlacedFile extends SessionFile {
  readonly place: StoreFolder;
}

/**
 * Reports of sessions, newest first.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND` for an unknown VM; {@link RepositoryError} what the
 *   place throws
 */
export async function listSessionReports(
  repository: Repository,
  options: ListSessionsOptions = {},
): Promise<SessionRecord[]> {
  const { vm, type, onlyFailed = false } = options;
  const folders =
    vm === undefined ? await repository.vmFolders() : [await repository.requireVm(vm)];
  const files: PlacedFile[] = [];
  await forEachLimited(folders, PARALLEL_READS, async ({ place }) => {
    for (const file of sessionFilesIn(await place.fileNames())) files.push({ ...file, place });
  });
  const wanted = files.filter(
    (file) => (type === undefined || file.type === type) && (file.isFailed || !onlyFailed),
  );
  return await readNewest(wanted, sessionRecordSchema, options);
}

/**
 * Reads files, newest first, until there are enough good ones that are wanted.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a limit out of range
 */
export async function readNewest<T>(
  files: readonly {
    readonly place: StoreFolder;
    readonly fileName: string;
    readonly time: string;
  }[],
  schema: z.ZodType<T>,
  { limit = DEFAULT_LIMIT, onMessage }: ListReportsOptions,
  isWanted: (record: T) => boolean = () => true,
): Promise<T[]> {
  checkRange('last', limit, MAX_LIMIT);
  const sorted = files.toSorted(newestFirst);
  const found: T[] = [];
  for (let from = 0; found.length < limit && from < sorted.length; ) {
    const some = sorted.slice(from, from + limit - found.length);
    const read: (T | undefined)[] = [];
    await forEachLimited(some, PARALLEL_READS, async ({ place, fileName }, k) => {
      read[k] = await readReport(place, fileName, schema, onMessage);
    });
    for (const record of read) if (record !== undefined && isWanted(record)) found.push(record);
    from += some.length;
  }
  return found;
}

/**
 * Reads one report. Undefined for a file that is gone, and after message REPO-562 for one that is
 * no report.
 */
export async function readReport<T>(
  place: StoreFolder,
  fileName: string,
  schema: z.ZodType<T>,
  onMessage: ListReportsOptions['onMessage'],
): Promise<T | undefined> {
  const refuse = (reason: string): undefined => {
    onMessage?.(sessionMessage('REPO-562', { file: place.pathOf(fileName), reason }));
    return undefined;
  };
  try {
    const content = await readTextFile(place, fileName, MAX_REPORT_BYTES);
    if (content === undefined) return undefined;
    const parsed = schema.safeParse(JSON.parse(content));
    return parsed.success ? parsed.data : refuse('it has an unknown form');
  } catch (error) {
    if (error instanceof SyntaxError) return refuse('it is no JSON');
    if (!(error instanceof BackupError) || isUnreached(error)) throw error;
    return refuse(error.code);
  }
}

/**
 * The report of one session of a VM.
 *
 * @param session - id, its beginning from eight characters on, or `latest`.
 * @throws {@link UsageError} `USAGE_NOT_FOUND`
 */
export async function readSessionReport(
  repository: Repository,
  vm: string,
  session = 'latest',
  options: Pick<ListReportsOptions, 'onMessage'> = {},
): Promise<SessionRecord> {
  const folder = await repository.requireVm(vm);
  const files = sessionFilesIn(await folder.place.fileNames());
  const fitting =
    session === 'latest' ? files : files.filter(({ idStart }) => idStart === idStartOf(session));
  for (const { fileName } of fitting) {
    const record = await readReport(folder.place, fileName, sessionRecordSchema, options.onMessage);
    if (record && (session === 'latest' || record.sessionId.startsWith(session))) return record;
  }
  throw new UsageError('USAGE_NOT_FOUND', `no report of a session "${session}" of ${vm}`, {
    hint: 'run "ovirt-cbt history --vm NAME --json" for the ids; older versions left no reports',
  });
}

/**
 * The report of the session that made a restore point. Undefined for a point of an older version or
 * of a copy, and when the report was lost.
 */
export async function readPointReport(
  { place }: VmFolder,
  point: RestorePoint,
  options: Pick<ListReportsOptions, 'onMessage'> = {},
): Promise<BackupRecord | undefined> {
  const time = compactTime(point.createdAt);
  const files = sessionFilesIn(await place.fileNames()).filter(
    (file) => file.type === 'backup' && !file.isFailed && file.time === time,
  );
  for (const { fileName } of files) {
    const record = await readReport(place, fileName, sessionRecordSchema, options.onMessage);
    if (record?.type !== 'backup' || record.outcome !== 'ok') continue;
    if (record.report.pointId === point.pointId) return record;
  }
  return undefined;
}
