/** Tables of restores: to images, and to a new VM of an engine. */
import { formatBytes } from '../../core/units.ts';
import type { RestoreReport } from '../../sessions/restore/restoreImages.ts';
import type { RestoreVmReport } from '../../sessions/restore/restoreVm.ts';
import { FULL_FORM, idIn, isFull, type OutputForm } from './outputForm.ts';
import { type Column, formatFact, formatLine, formatRows, formatSeconds } from './table.ts';

const IMAGE_COLUMNS: readonly Column<RestoreReport['disks'][number]>[] = [
  ['disk', (disk) => disk.alias, { kind: 'name' }],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['written', (disk) => formatBytes(disk.writtenBytes)],
  ['time', (disk) => formatSeconds(disk.wallSeconds)],
  ['file', (disk) => disk.path, { kind: 'full' }],
];

export function formatRestore(report: RestoreReport, form: OutputForm = FULL_FORM): string {
  const title = `${report.vmName}: restore point ${report.pointNumber} (${idIn(form, report.pointId)}) restored as ${report.format} in ${formatSeconds(report.durationSeconds)}`;
  // A path is copied, so it is never cut.
  const files = report.disks.map((disk) => formatFact('file', disk.path, form));
  return [
    formatLine(title, form),
    formatRows(IMAGE_COLUMNS, report.disks, form),
    ...(isFull(form) ? [] : files),
  ].join('\n');
}

const ENGINE_COLUMNS: readonly Column<RestoreVmReport['disks'][number]>[] = [
  ['disk', (disk) => disk.alias, { kind: 'name' }],
  ['format', (disk) => disk.format, { kind: 'extra' }],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['uploaded', (disk) => formatBytes(disk.uploadedBytes)],
  ['zeroed', (disk) => formatBytes(disk.zeroedBytes), { kind: 'extra' }],
  ['checksum', (disk) => (disk.isVerified ? 'equal' : 'not offered')],
  ['time', (disk) => formatSeconds(disk.wallSeconds)],
  ['new disk', (disk) => disk.newDiskId, { kind: 'extra' }],
];

export function formatRestoreVm(report: RestoreVmReport, form: OutputForm = FULL_FORM): string {
  const configuration = report.hasConfiguration ? 'saved configuration' : 'default hardware';
  const title = `${report.vmName}: restore point ${report.pointNumber} (${idIn(form, report.pointId)}) restored as ${report.newVmName} (${report.newVmId}) in ${formatSeconds(report.durationSeconds)}, ${configuration}, powered off`;
  return `${formatLine(title, form)}\n${formatRows(ENGINE_COLUMNS, report.disks, form)}`;
}
