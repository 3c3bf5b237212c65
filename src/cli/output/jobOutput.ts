/** Output of a backup of VMs: each session, and at the end a summary with a line per VM. */
import { compareNames } from '../../core/namePattern.ts';
import { formatBytes } from '../../core/units.ts';
import type { FailedSession, JobReport } from '../../sessions/backup/backupVms.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import { FULL_FORM, type OutputForm, type Style } from './outputForm.ts';
import { formatSessions } from './sessionOutput.ts';
import { type Column, formatLine, formatRows, formatSeconds } from './table.ts';
import { countOf, cutAtWord } from './text.ts';

/** Columns of the worst message in the summary. The whole text is above it. */
const MAX_MESSAGE_COLUMNS = 100;

/** `error`: there is a restore point, and a message of level error. `failed`: there is none. */
type Result = 'ok' | 'warning' | 'error' | 'failed';

interface SummaryRow {
  readonly vmName: string;
  readonly result: Result;
  readonly mode: string;
  readonly read: string;
  readonly stored: string;
  readonly duration: string;
  readonly message: string;
}

const RESULT_STYLES: Readonly<Record<Result, Style>> = {
  ok: 'green',
  warning: 'yellow',
  error: 'red',
  failed: 'red',
};

/** Ids of disks stand in brackets after their names. The summary has no room for them. */
function shortMessage({ message }: SummaryRow): string {
  return cutAtWord(message.replaceAll(/ \([\da-f-]{36}\)/g, ''), MAX_MESSAGE_COLUMNS);
}

const SUMMARY_COLUMNS: readonly Column<SummaryRow>[] = [
  ['vm', (row) => row.vmName, { kind: 'name' }],
  ['result', (row) => row.result, { style: (row) => RESULT_STYLES[row.result] }],
  ['mode', (row) => row.mode],
  ['read', (row) => row.read],
  ['stored', (row) => row.stored],
  ['duration', (row) => row.duration],
  ['worst message', shortMessage, { kind: 'note' }],
];

function rowOfSession(report: SessionReport): SummaryRow {
  const { vmName, disks, messages, durationSeconds } = report;
  const error = messages.find(({ level }) => level === 'error');
  const worst = error ?? messages.find(({ level }) => level === 'warn');
  const sum = (pick: (disk: SessionReport['disks'][number]) => number): string =>
    formatBytes(disks.reduce((total, disk) => total + pick(disk), 0));
  return {
    vmName,
    result: error ? 'error' : worst ? 'warning' : 'ok',
    mode: [...new Set(disks.map((disk) => disk.mode))].join(', '),
    read: sum((disk) => disk.readBytes),
    stored: sum((disk) => disk.storedBytes),
    duration: formatSeconds(durationSeconds),
    message: worst ? `${worst.code} ${worst.text}` : '',
  };
}

function rowOfFailure({ vmName, code, message }: FailedSession): SummaryRow {
  return {
    vmName,
    result: 'failed',
    mode: '-',
    read: '-',
    stored: '-',
    duration: '-',
    message: `${code} ${message}`,
  };
}

function formatSummary({ sessions, failures }: JobReport, form: OutputForm): string {
  const rows = [...sessions.map(rowOfSession), ...failures.map(rowOfFailure)].toSorted((a, b) =>
    compareNames(a.vmName, b.vmName),
  );
  const counts = (['ok', 'warning', 'error', 'failed'] as const).flatMap((result) => {
    const count = rows.filter((row) => row.result === result).length;
    return count > 0 ? [`${count} ${result}`] : [];
  });
  const title = `${countOf(rows.length, 'VM')}: ${counts.join(', ')}`;
  return `${title}\n${formatRows(SUMMARY_COLUMNS, rows, form)}`;
}

export function formatJob(report: JobReport, form: OutputForm = FULL_FORM): string {
  const { sessions, failures } = report;
  const parts = [
    ...formatSessions(
      sessions.toSorted((a, b) => compareNames(a.vmName, b.vmName)),
      form,
    ),
    ...failures.map(({ vmName, message, code, hint }) =>
      formatLine(`${vmName}: failed: ${message} (${code}) ${hint}`, form),
    ),
  ];
  return [...parts, ...(parts.length > 1 ? [formatSummary(report, form)] : [])].join('\n\n');
}
