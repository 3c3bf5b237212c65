/** Tables of restores: to images, and to a new VM of an engine. */
import { formatBytes } from '../../core/units.ts';
import type { RestoreReport } from '../../sessions/restore/restoreImages.ts';
import type { RestoreVmReport } from '../../sessions/restore/restoreVm.ts';
import { type Column, formatRows, formatSeconds } from './table.ts';

type ImageColumn = Column<RestoreReport['disks'][number]>;

const IMAGE_COLUMNS: readonly ImageColumn[] = [
  ['disk', (disk) => disk.alias],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['written', (disk) => formatBytes(disk.writtenBytes)],
];
const DAMAGED_COLUMN: ImageColumn = ['damaged', (disk) => formatBytes(disk.holeBytes)];
const TAKEN_COLUMN: ImageColumn = ['taken', (disk) => formatCount(disk.takenBlocks, 'block')];
const LAST_COLUMNS: readonly ImageColumn[] = [
  ['time', (disk) => formatSeconds(disk.wallSeconds)],
  ['file', (disk) => disk.path],
];

const HOLE_COLUMNS: readonly Column<RestoreReport['holes'][number]>[] = [
  ['damaged disk', (hole) => hole.alias],
  ['offset', (hole) => `${hole.offsetBytes} B`],
  ['length', (hole) => formatBytes(hole.lengthBytes)],
  ['code', (hole) => hole.code],
];
/** The file of holes and the JSON name all of them. */
const MAX_HOLES = 20;

function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function imageColumns({ disks, holes }: RestoreReport): ImageColumn[] {
  const hasTaken = disks.some(({ takenBlocks }) => takenBlocks > 0);
  return [
    ...IMAGE_COLUMNS,
    ...(holes.length > 0 ? [DAMAGED_COLUMN] : []),
    ...(hasTaken ? [TAKEN_COLUMN] : []),
    ...LAST_COLUMNS,
  ];
}

const FAILED_COLUMNS: readonly Column<RestoreReport['failedDisks'][number]>[] = [
  ['disk without image', (disk) => disk.alias],
  ['code', (disk) => disk.code],
  ['reason', (disk) => disk.message],
];

function formatFailedDisks({ failedDisks }: RestoreReport): string[] {
  return failedDisks.length === 0 ? [] : ['', formatRows(FAILED_COLUMNS, failedDisks)];
}

function formatHoles({ holes, disks }: RestoreReport): string[] {
  if (holes.length === 0) return [];
  const more = holes.length - MAX_HOLES;
  return [
    '',
    'These places are damaged, and zeros in the images:',
    formatRows(HOLE_COLUMNS, holes.slice(0, MAX_HOLES)),
    ...(more > 0 ? [`and ${more} more`] : []),
    ...disks.flatMap(({ holesPath }) =>
      holesPath === undefined ? [] : [`listed in ${holesPath}`],
    ),
  ];
}

export function formatRestore(report: RestoreReport): string {
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointId}) restored as ${report.format} in ${formatSeconds(report.durationSeconds)}`,
    formatRows(imageColumns(report), report.disks),
    ...formatFailedDisks(report),
    ...formatHoles(report),
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

export function formatRestoreVm(report: RestoreVmReport): string {
  const configuration = report.hasConfiguration ? 'saved configuration' : 'default hardware';
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointId}) restored as ${report.newVmName} (${report.newVmId}) in ${formatSeconds(report.durationSeconds)}, ${configuration}, powered off`,
    formatRows(ENGINE_COLUMNS, report.disks),
  ].join('\n');
}
