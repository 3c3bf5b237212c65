/**
 * Names of the reports that sessions leave in the folder of a VM. A name tells enough to choose
 * files without reading them. No I/O.
 */
import { compareNames } from '../../core/namePattern.ts';
import { SESSION_TYPES, type SessionType } from './sessionRecord.ts';

/** Reports of failed sessions that a prune leaves, in each folder. */
export const MAX_FAILED_REPORTS = 200;
/** Digits of the id of a session or run in the name of its file. */
const ID_DIGITS = 8;
const NAME = new RegExp(
  `^session-(\\d{8}T\\d{9}Z)-(${SESSION_TYPES.join('|')})(-failed)?-([0-9a-f]{${ID_DIGITS}})\\.json$`,
);

export interface SessionFile {
  readonly fileName: string;
  /** Start of the session, as {@link compactTime}. */
  readonly time: string;
  readonly type: SessionType;
  readonly isFailed: boolean;
  /** The first eight digits of the session's id. */
  readonly idStart: string;
}

/** End of the last year with four digits. */
const LAST_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * `20261130T015000123Z` for a time, with milliseconds. In their order is the order of time. A clock
 * that is far wrong gives the nearest time of four digits.
 */
export function compactTime(time: Date | string): string {
  const timeMs = Math.min(Math.max(new Date(time).getTime(), 0), LAST_TIME_MS);
  return new Date(timeMs).toISOString().replaceAll(/[-:.]/g, '');
}

export function idStartOf(id: string): string {
  return id.slice(0, ID_DIGITS);
}

export function sessionFileName(session: {
  readonly type: SessionType;
  readonly sessionId: string;
  readonly startedAt: Date | string;
  readonly isFailed: boolean;
}): string {
  const { type, sessionId, startedAt, isFailed } = session;
  const kind = isFailed ? `${type}-failed` : type;
  return `session-${compactTime(startedAt)}-${kind}-${idStartOf(sessionId)}.json`;
}

/** The reports among the names of a folder, newest first. */
export function sessionFilesIn(names: readonly string[]): SessionFile[] {
  return names.flatMap((name) => parseName(name) ?? []).toSorted(newestFirst);
}

function parseName(fileName: string): SessionFile | undefined {
  const match = NAME.exec(fileName);
  if (!match) return undefined;
  const [, time = '', type = '', failed, idStart = ''] = match;
  return { fileName, time, type: type as SessionType, isFailed: failed !== undefined, idStart };
}

/** Order of files by time, then by name. */
export function newestFirst(
  a: { readonly time: string; readonly fileName: string },
  b: { readonly time: string; readonly fileName: string },
): number {
  return compareNames(b.time, a.time) || compareNames(b.fileName, a.fileName);
}

/**
 * Reports that nobody needs any more: of backups whose points are gone, and others that are older
 * than all points. A point keeps the time of its session, also when it is merged.
 *
 * @param points - all restore points of the VM, at least one.
 */
export function staleSessionFiles(
  names: readonly string[],
  points: readonly { readonly createdAt: string }[],
): string[] {
  const times = points.map(({ createdAt }) => compactTime(createdAt)).toSorted();
  const [oldest = ''] = times;
  const known = new Set(times);
  const isStale = ({ type, isFailed, time }: SessionFile): boolean =>
    type === 'backup' && !isFailed ? !known.has(time) : time < oldest;
  const files = sessionFilesIn(names);
  const failed = files.filter((file) => file.isFailed && !isStale(file));
  const stale = [...files.filter(isStale), ...failed.slice(MAX_FAILED_REPORTS)];
  return stale.map(({ fileName }) => fileName);
}
