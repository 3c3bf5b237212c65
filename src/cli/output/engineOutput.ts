/** Output of the commands for a VM on an engine: preflight, cleanup. */
import { formatBytes } from '../../core/units.ts';
import type { PreflightReport } from '../../sessions/backup/vm/preflightVm.ts';
import type { CleanupReport } from '../../sessions/cleanup/cleanupVm.ts';
import { FULL_FORM, type OutputForm, type Style } from './outputForm.ts';
import { type Column, formatLine, formatRows } from './table.ts';

type PreflightDisk = PreflightReport['disks'][number];

function trackedStyle({ isTrackable }: PreflightDisk): Style {
  return isTrackable ? 'green' : 'yellow';
}

const PREFLIGHT_COLUMNS: readonly Column<PreflightDisk>[] = [
  ['disk', (disk) => disk.alias, { kind: 'name' }],
  ['format', (disk) => disk.format],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['next session', (disk) => disk.mode],
  ['tracked', (disk) => (disk.isTrackable ? 'yes' : 'no'), { style: trackedStyle }],
  ['reason', (disk) => disk.reason, { kind: 'note' }],
  ['what to do', (disk) => disk.advice, { kind: 'note' }],
];

export function formatPreflight(report: PreflightReport, form: OutputForm = FULL_FORM): string {
  const verdict = report.canStart ? 'a session can start' : 'a session cannot start now';
  return [
    formatLine(
      `${report.vmName} (${report.vmId}) is ${report.vmState}; engine ${report.engineVersion}`,
      form,
    ),
    formatRows(PREFLIGHT_COLUMNS, report.disks, form),
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
