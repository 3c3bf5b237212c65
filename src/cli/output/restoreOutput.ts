/** Tables of restores: to images, and to a new VM of an engine. */
import { formatBytes } from '../../core/units.ts';
import type { RestoreReport } from '../../sessions/restore/restoreImages.ts';
import type { RestoreVmReport } from '../../sessions/restore/restoreVm.ts';
import { type Column, formatRows, formatSeconds } from './table.ts';

const IMAGE_COLUMNS: readonly Column<RestoreReport['disks'][number]>[] = [
  ['disk', (disk) => disk.alias],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['written', (disk) => formatBytes(disk.writtenBytes)],
  ['time', (disk) => formatSeconds(disk.wallSeconds)],
  ['file', (disk) => disk.path],
];

export function formatRestore(report: RestoreReport): string {
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointId}) restored as ${report.format} in ${formatSeconds(report.durationSeconds)}`,
    formatRows(IMAGE_COLUMNS, report.disks),
  ].join('\n');
}

const ENGINE_COLUMNS: readonly Column<RestoreVmReport['disks'][number]>[] = [
  ['disk', (disk) => disk.alias],
  ['format', (disk) => disk.format],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['uploaded', (disk) => formatBytes(disk.uploadedBytes)],
  ['zeroed', (disk) => formatBytes(disk.zeroedBytes)],
  ['checksum', (disk) => (disk.isVerified ? 'equal' : 'not offered')],
  ['time', (disk) => formatSeconds(disk.wallSeconds)],
  ['new disk', (disk) => disk.newDiskId],
];

const NIC_COLUMNS: readonly Column<RestoreVmReport['nics'][number]>[] = [
  ['network card', (nic) => nic.name],
  ['MAC address', (nic) => nic.mac || 'none'],
  ['in the restore point', (nic) => nic.savedMac],
];

export function formatRestoreVm(report: RestoreVmReport): string {
  const configuration = report.hasConfiguration ? 'saved configuration' : 'default hardware';
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointId}) restored as ${report.newVmName} (${report.newVmId}) in ${formatSeconds(report.durationSeconds)}, ${configuration}, powered off`,
    report.disks.length > 0 ? formatRows(ENGINE_COLUMNS, report.disks) : 'no disk',
    ...(report.nics.length > 0 ? ['', formatRows(NIC_COLUMNS, report.nics)] : []),
  ].join('\n');
}
