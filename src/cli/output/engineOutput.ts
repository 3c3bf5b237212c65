/** Output of the commands for a VM on an engine: preflight, cleanup. */
import { formatBytes } from '../../core/units.ts';
import type { PreflightReport } from '../../sessions/backup/vm/preflightVm.ts';
import type { CleanupReport } from '../../sessions/cleanup/cleanupVm.ts';
import { FULL_FORM, type OutputForm, type Style } from './outputForm.ts';
import { type Column, formatLine, formatTables } from './table.ts';

type PreflightDisk = PreflightReport['disks'][number];

function trackedStyle({ isTrackable }: PreflightDisk): Style {
  return isTrackable ? 'green' : 'yellow';
}

const PREFLIGHT_COLUMNS: readonly Column<PreflightDisk>[] = [
  ['disk', (disk) => disk.alias, { kind: 'name' }],
  ['format', (disk) => disk.format],
  // The engine does not tell the size of a LUN.
  ['size', (disk) => (disk.sizeBytes > 0 ? formatBytes(disk.sizeBytes) : '-')],
  ['next session', (disk) => disk.mode],
  ['tracked', (disk) => (disk.isTrackable ? 'yes' : 'no'), { style: trackedStyle }],
  ['reason', (disk) => disk.reason, { kind: 'note' }],
  ['what to do', (disk) => disk.advice, { kind: 'note' }],
];

export function formatPreflight(report: PreflightReport, form: OutputForm = FULL_FORM): string {
  return formatPreflights([report], form)[0] ?? '';
}

/** One text for each VM. Their tables have the same columns. */
export function formatPreflights(
  reports: readonly PreflightReport[],
  form: OutputForm = FULL_FORM,
): string[] {
  const disks = reports.map((report) => report.disks);
  const tables = formatTables(PREFLIGHT_COLUMNS, disks, form);
  return reports.map((report, index) => formatVm(report, tables[index] ?? '', form));
}

function formatVm(report: PreflightReport, table: string, form: OutputForm): string {
  const verdict = report.canStart ? 'a session can start' : 'a session cannot start now';
  return [
    formatLine(
      `${report.vmName} (${report.vmId}) is ${report.vmState}; engine ${report.engineVersion}`,
      form,
    ),
    table,
    verdict,
  ].join('\n');
}

function list(title: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`${title}: ${items.join(', ')}`];
}

export function formatCleanup(report: CleanupReport, form: OutputForm = FULL_FORM): string {
  const lines = [
    ...list('cleaned up', report.cleaned),
    ...list('could not be cleaned up', report.left),
    ...list('not ours, not touched: backup', report.foreignBackupIds),
  ];
  const found = lines.length > 0 ? lines : [`${report.vmName}: nothing to clean up`];
  return found.map((line) => formatLine(line, form, 2)).join('\n');
}
