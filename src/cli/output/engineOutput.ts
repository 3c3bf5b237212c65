/** Output of the commands for a VM on an engine: preflight, cleanup. */
import { formatBytes } from '../../core/units.ts';
import type { PreflightReport } from '../../sessions/backup/vm/preflightVm.ts';
import type { CleanupReport } from '../../sessions/cleanup/cleanupVm.ts';
import { type Column, formatRows } from './table.ts';

const PREFLIGHT_COLUMNS: readonly Column<PreflightReport['disks'][number]>[] = [
  ['disk', (disk) => disk.alias],
  ['format', (disk) => disk.format],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['next session', (disk) => disk.mode],
  ['tracked', (disk) => (disk.isTrackable ? 'yes' : 'no')],
  ['reason', (disk) => disk.reason],
  ['what to do', (disk) => disk.advice],
];

export function formatPreflight(report: PreflightReport): string {
  const verdict = report.canStart ? 'a session can start' : 'a session cannot start now';
  return [
    `${report.vmName} (${report.vmId}) is ${report.vmState}; engine ${report.engineVersion}`,
    formatRows(PREFLIGHT_COLUMNS, report.disks),
    verdict,
  ].join('\n');
}

function list(title: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`${title}: ${items.join(', ')}`];
}

export function formatCleanup(report: CleanupReport): string {
  const lines = [
    ...list('cleaned up', report.cleaned),
    ...list('could not be cleaned up', report.left),
    ...list('not ours, not touched: backup', report.foreignBackupIds),
  ];
  return lines.length > 0 ? lines.join('\n') : `${report.vmName}: nothing to clean up`;
}
