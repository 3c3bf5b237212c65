/** Output of `history`: a table of sessions, or of runs, newest first. */
import type { SessionMessage } from '../../../core/messages.ts';
import { formatBytes } from '../../../core/units.ts';
import type { RunReport } from '../../../jobs/runReport.ts';
import type { SessionRecord } from '../../../sessions/history/sessionRecord.ts';
import type { SessionReport } from '../../../sessions/shared/report.ts';
import { FULL_FORM, idIn, isFull, type OutputForm, type Style } from '../outputForm.ts';
import { type Column, formatRows, formatSeconds } from '../table.ts';
import { countOf, cutAtWord, formatLocalTime, shortIds } from '../text.ts';

/** Columns of the error of a session. `--json` has all of it. */
const MAX_ERROR_COLUMNS = 120;

type Result = 'ok' | 'warning' | 'failed';

const STYLES: Readonly<Record<Result, Style>> = { ok: 'green', warning: 'yellow', failed: 'red' };

function resultOf(record: SessionRecord): Result {
  if (record.outcome === 'failed') return 'failed';
  return messagesOf(record).some(({ level }) => level !== 'info') ? 'warning' : 'ok';
}

function messagesOf(record: SessionRecord): readonly Pick<SessionMessage, 'level'>[] {
  if (record.outcome === 'failed') return record.messages;
  const messages: unknown = record.report.messages;
  return Array.isArray(messages) ? messages.filter(isMessage) : [];
}

function isMessage(value: unknown): value is Pick<SessionMessage, 'level'> {
  return typeof value === 'object' && value !== null && 'level' in value;
}

function sumOf({ disks }: SessionReport, key: 'readBytes' | 'storedBytes'): string {
  return formatBytes(disks.reduce((sum, disk) => sum + disk[key], 0));
}

/** Facts of a backup in one cell; '-' for other sessions. */
function ofBackup(record: SessionRecord, cell: (report: SessionReport) => string): string {
  return record.type === 'backup' && record.outcome === 'ok' ? cell(record.report) : '-';
}

function pointOf(record: SessionRecord): string {
  return ofBackup(record, ({ pointNumber, pointType }) => `${pointNumber} ${pointType}`);
}

function errorOf(record: SessionRecord): string {
  if (record.outcome === 'ok') return '';
  return cutAtWord(`${record.code} ${record.message}`, MAX_ERROR_COLUMNS);
}

function sessionColumns(
  records: readonly SessionRecord[],
  form: OutputForm,
): Column<SessionRecord>[] {
  const short = shortIds(records.map(({ sessionId }) => sessionId));
  return [
    ['started', ({ startedAt }) => formatLocalTime(startedAt, isFull(form))],
    ['vm', ({ vmName }) => vmName, { kind: 'name' }],
    ['session', ({ type }) => type],
    ['result', resultOf, { style: (record) => STYLES[resultOf(record)] }],
    ['duration', ({ durationSeconds }) => formatSeconds(durationSeconds)],
    ['point', pointOf],
    [
      'read',
      (record) => ofBackup(record, (report) => sumOf(report, 'readBytes')),
      { kind: 'extra' },
    ],
    [
      'stored',
      (record) => ofBackup(record, (report) => sumOf(report, 'storedBytes')),
      { kind: 'extra' },
    ],
    ['id', ({ sessionId }) => idIn(form, sessionId, short), { kind: 'extra' }],
    ['error', errorOf, { kind: 'note' }],
  ];
}

/** @param records - newest first. */
export function formatSessionHistory(
  records: readonly SessionRecord[],
  form: OutputForm = FULL_FORM,
): string {
  if (records.length === 0) return 'no session has left such a report here';
  return formatRows(sessionColumns(records, form), records, form);
}

const RUN_STYLES: Readonly<Record<RunReport['outcome'], Style>> = {
  success: 'green',
  warning: 'yellow',
  failure: 'red',
};

const RUN_WORDS = {
  success: 'success',
  warning: 'warning',
  failure: 'failed',
  notStarted: 'not started',
} as const;

function vmCounts({ vms }: RunReport): string {
  const counts = Object.entries(RUN_WORDS).flatMap(([outcome, word]) => {
    const count = vms.filter((vm) => vm.outcome === outcome).length;
    return count > 0 ? [`${count} ${word}`] : [];
  });
  return `${countOf(vms.length, 'VM')}${counts.length > 0 ? `: ${counts.join(', ')}` : ''}`;
}

function stepsOf({ failedSteps }: RunReport): string {
  const steps = failedSteps.map(({ step, code, message }) => `${step}: ${code} ${message}`);
  return cutAtWord(steps.join('; '), MAX_ERROR_COLUMNS);
}

function runColumns(runs: readonly RunReport[], form: OutputForm): Column<RunReport>[] {
  const short = shortIds(runs.map(({ runId }) => runId));
  return [
    ['started', ({ startedAt }) => formatLocalTime(startedAt, isFull(form))],
    ['job', ({ jobName }) => jobName, { kind: 'name' }],
    [
      'result',
      ({ outcome }) => RUN_WORDS[outcome],
      { style: ({ outcome }) => RUN_STYLES[outcome] },
    ],
    ['duration', ({ durationSeconds }) => formatSeconds(durationSeconds)],
    ['VMs', vmCounts],
    ['started by', ({ trigger }) => trigger, { kind: 'extra' }],
    ['id', ({ runId }) => idIn(form, runId, short), { kind: 'extra' }],
    ['failed step', stepsOf, { kind: 'note' }],
  ];
}

/** @param runs - newest first. */
export function formatRuns(runs: readonly RunReport[], form: OutputForm = FULL_FORM): string {
  if (runs.length === 0) return 'no run of this job has left such a report here';
  return formatRows(runColumns(runs, form), runs, form);
}
