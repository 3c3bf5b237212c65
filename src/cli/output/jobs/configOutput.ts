/** Output of check-config: jobs with their next times, problems, and what answered. */
import type { ConnectionCheck } from '../../../jobs/check/checkConnections.ts';
import type { JobFileProblem } from '../../../jobs/config/problems.ts';
import { type JobConfig, type JobFile, LOCAL_SESSIONS } from '../../../jobs/jobFile.ts';
import type { OutputForm } from '../outputForm.ts';
import { type Column, formatTables } from '../table.ts';
import { countOf, printable } from '../text.ts';

export interface ConfigReport {
  readonly type: 'check_config';
  readonly file: string;
  readonly jobs: readonly JobPreview[];
  readonly problems: readonly JobFileProblem[];
  /** Receivers that no job names: nobody tells them anything. */
  readonly unusedReceivers: readonly string[];
  /** Jobs with a key that only workers of a queue can heed. */
  readonly jobsForWorkers: readonly string[];
  /** Empty without `--connect`. */
  readonly connections: readonly ConnectionResult[];
}

export interface JobPreview {
  readonly name: string;
  readonly engine: string;
  readonly repository: string;
  readonly schedule: string | undefined;
  readonly timezone: string;
  readonly windowUntil: string | undefined;
  /** ISO 8601. */
  readonly nextTimes: readonly string[];
}

export interface ConnectionResult {
  readonly kind: ConnectionCheck['kind'];
  readonly name: string;
  readonly facts: string;
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
}

/** @param nextTimes - of the job. */
export function previewOf(job: JobConfig, zone: string, nextTimes: readonly Date[]): JobPreview {
  return {
    name: job.name,
    engine: job.engine.name,
    repository: job.repository.name,
    schedule: job.schedule,
    timezone: zone,
    windowUntil: job.windowUntil,
    nextTimes: nextTimes.map((time) => time.toISOString()),
  };
}

export function resultOf({ kind, name, facts, failure }: ConnectionCheck): ConnectionResult {
  if (failure === undefined) return { kind, name, facts };
  const { code, message, hint } = failure;
  return { kind, name, facts, code, message, hint };
}

/** A time in a zone, such as `Tue 2026-12-01 01:00 GMT+01:00`. */
function timeIn(zone: string, time: string): string {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'longOffset',
  });
  const parts = new Map(
    format.formatToParts(new Date(time)).map(({ type, value }) => [type, value]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? '';
  const date = `${part('year')}-${part('month')}-${part('day')}`;
  const offset = part('timeZoneName').replace('GMT', '') || '+00:00';
  return `${part('weekday')} ${date} ${part('hour')}:${part('minute')} ${offset}`;
}

function timesOf({ schedule, timezone, nextTimes }: JobPreview): string {
  if (schedule === undefined) return 'only by "ovirt-cbt run"';
  return nextTimes.map((time) => timeIn(timezone, time)).join(', ');
}

const JOB_COLUMNS: readonly Column<JobPreview>[] = [
  ['job', (job) => job.name, { kind: 'name' }],
  ['engine', (job) => job.engine],
  ['repository', (job) => job.repository],
  ['schedule', (job) => job.schedule ?? '-'],
  ['time zone', (job) => job.timezone, { kind: 'extra' }],
  ['until', (job) => job.windowUntil ?? '-'],
  ['next times', timesOf, { kind: 'note' }],
];

const CONNECTION_COLUMNS: readonly Column<ConnectionResult>[] = [
  ['checked', ({ kind, name }) => `${kind} ${name}`],
  [
    'result',
    ({ code }) => (code === undefined ? 'ok' : 'failed'),
    { style: ({ code }) => (code === undefined ? 'green' : 'red') },
  ],
  [
    'facts',
    ({ facts, message, code }) => (code ? `${message} (${code})` : facts),
    { kind: 'note' },
  ],
  ['what to do', ({ hint = '' }) => hint, { kind: 'note' }],
];

function headOf({ path, jobs, engines, repositories, notify }: JobFile): string {
  const counts = [
    countOf(jobs.size, 'job'),
    countOf(engines.size, 'engine'),
    repositories.size === 1 ? '1 repository' : `${repositories.size} repositories`,
    countOf(notify.size, 'receiver'),
  ];
  return printable(`${path}: ${counts.join(', ')}`);
}

function problemLine(file: string, problem: JobFileProblem): string {
  const { line, column, key, what, advice } = problem;
  const subject = key === '' ? '' : `${key}: `;
  return printable(`problem: ${file}:${line}:${column}: ${subject}${what}; ${advice}`);
}

/** Names of receivers that no job of the file uses. */
export function unusedReceivers({ notify, jobs }: JobFile): string[] {
  const used = new Set([...jobs.values()].flatMap((job) => job.notify.map(({ name }) => name)));
  return [...notify.keys()].filter((name) => !used.has(name));
}

function unusedLine(names: readonly string[]): string {
  return `note: no job names the receiver ${names.join(', ')}; name it in "notify" of a job`;
}

function limitOf({ limits: { parallelVms } }: JobConfig): string[] {
  if (parallelVms <= LOCAL_SESSIONS) return [];
  return [`"parallelVms: ${parallelVms}" counts as ${LOCAL_SESSIONS}`];
}

function labelOf({ workerLabel }: JobConfig): string[] {
  return workerLabel === undefined ? [] : ['"workerLabel" has no effect'];
}

function withoutWorkers(job: JobConfig): string[] {
  return [...limitOf(job), ...labelOf(job)];
}

/** Names of jobs that one process cannot run as they are written. */
export function jobsForWorkers({ jobs }: JobFile): string[] {
  return [...jobs.values()].filter((job) => withoutWorkers(job).length > 0).map(({ name }) => name);
}

function workerLines({ jobs }: JobFile, names: readonly string[]): string[] {
  return names.map((name) => {
    const job = jobs.get(name);
    const effects = job === undefined ? [] : withoutWorkers(job);
    return `note: job ${name}: without --queue ${effects.join(', and ')}`;
  });
}

export function formatConfig(file: JobFile, report: ConfigReport, form: OutputForm): string {
  const { jobs, problems, connections, unusedReceivers: unused } = report;
  const workers = workerLines(file, report.jobsForWorkers);
  const [table = ''] = formatTables(JOB_COLUMNS, [jobs], form);
  const [answers = ''] = formatTables(CONNECTION_COLUMNS, [connections], form);
  const isGood = problems.length === 0 && connections.every(({ code }) => code === undefined);
  return [
    [headOf(file), table].join('\n'),
    ...(problems.length > 0 ? [problems.map((one) => problemLine(file.path, one)).join('\n')] : []),
    ...(unused.length > 0 ? [unusedLine(unused)] : []),
    ...(workers.length > 0 ? [workers.join('\n')] : []),
    ...(connections.length > 0 ? [answers] : []),
    isGood ? 'no problems found' : 'a run would fail or miss something',
  ].join('\n\n');
}
