/** Tables of restores: to images, and to a new VM of an engine. */
import { formatBytes } from '../../core/units.ts';
import type { RestoreReport } from '../../sessions/restore/restoreImages.ts';
import type { RestoreVmReport } from '../../sessions/restore/restoreVm.ts';
import { FULL_FORM, idIn, isFull, type OutputForm } from './outputForm.ts';
import { type Column, formatFact, formatLine, formatRows, formatSeconds } from './table.ts';
import { countOf } from './text.ts';

type ImageColumn = Column<RestoreReport['disks'][number]>;

const IMAGE_COLUMNS: readonly ImageColumn[] = [
  ['disk', (disk) => disk.alias, { kind: 'name' }],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['written', (disk) => formatBytes(disk.writtenBytes)],
];
const DAMAGED_COLUMN: ImageColumn = ['damaged', (disk) => formatBytes(disk.holeBytes)];
const TAKEN_COLUMN: ImageColumn = ['taken', (disk) => countOf(disk.takenBlocks, 'block')];
const LAST_COLUMNS: readonly ImageColumn[] = [
  ['time', (disk) => formatSeconds(disk.wallSeconds)],
  ['file', (disk) => disk.path, { kind: 'full' }],
];

const HOLE_COLUMNS: readonly Column<RestoreReport['holes'][number]>[] = [
  ['damaged disk', (hole) => hole.alias, { kind: 'name' }],
  ['offset', (hole) => `${hole.offsetBytes} B`],
  ['length', (hole) => formatBytes(hole.lengthBytes)],
  ['code', (hole) => hole.code],
];
/** The file of holes and the JSON name all of them. */
const MAX_HOLES = 20;

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
  ['disk without image', (disk) => disk.alias, { kind: 'name' }],
  ['code', (disk) => disk.code],
  ['reason', (disk) => disk.message, { kind: 'note' }],
];

function formatFailedDisks({ failedDisks }: RestoreReport, form: OutputForm): string[] {
  return failedDisks.length === 0 ? [] : ['', formatRows(FAILED_COLUMNS, failedDisks, form)];
}

function formatHoles({ holes, disks }: RestoreReport, form: OutputForm): string[] {
  if (holes.length === 0) return [];
  const more = holes.length - MAX_HOLES;
  return [
    '',
    'These places are damaged, and zeros in the images:',
    formatRows(HOLE_COLUMNS, holes.slice(0, MAX_HOLES), form),
    ...(more > 0 ? [`and ${more} more`] : []),
    ...disks.flatMap(({ holesPath }) =>
      holesPath === undefined ? [] : [`listed in ${holesPath}`],
    ),
  ];
}

export function formatRestore(report: RestoreReport, form: OutputForm = FULL_FORM): string {
  const title = `${report.vmName}: restore point ${report.pointNumber} (${idIn(form, report.pointId)}) restored as ${report.format} in ${formatSeconds(report.durationSeconds)}`;
  // A path is copied, so it is never cut.
  const files = report.disks.map((disk) => formatFact('file', disk.path, form));
  return [
    formatLine(title, form),
    formatRows(imageColumns(report), report.disks, form),
    ...(isFull(form) ? [] : files),
    ...formatFailedDisks(report, form),
    ...formatHoles(report, form),
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

const NIC_COLUMNS: readonly Column<RestoreVmReport['nics'][number]>[] = [
  ['network card', (nic) => nic.name, { kind: 'name' }],
  ['MAC address', (nic) => nic.mac || 'none'],
  ['in the restore point', (nic) => nic.savedMac, { kind: 'extra' }],
];

export function formatRestoreVm(report: RestoreVmReport, form: OutputForm = FULL_FORM): string {
  const configuration = report.hasConfiguration ? 'saved configuration' : 'default hardware';
  const title = `${report.vmName}: restore point ${report.pointNumber} (${idIn(form, report.pointId)}) restored as ${report.newVmName} (${report.newVmId}) in ${formatSeconds(report.durationSeconds)}, ${configuration}, powered off`;
  const { disks, nics } = report;
  return [
    formatLine(title, form),
    disks.length > 0 ? formatRows(ENGINE_COLUMNS, disks, form) : 'no disk',
    ...(nics.length > 0 ? ['', formatRows(NIC_COLUMNS, nics, form)] : []),
  ].join('\n');
}
