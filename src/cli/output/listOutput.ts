/** Output of the commands for a repository: list, rescan, key. */
import { formatBytes } from '../../core/units.ts';
import type { RescanReport } from '../../sessions/cleanup/rescanRepository.ts';
import type { ListedPoint, ListedVm, ListReport } from '../../sessions/inspect/listRepository.ts';
import type { KeyFileReport } from '../../sessions/keys/newKeyFile.ts';
import type { KeySlotReport, KeysReport } from '../../sessions/keys/repositoryKeys.ts';
import { FULL_FORM, idIn, isFull, type OutputForm, type Style } from './outputForm.ts';
import { type Column, formatLine, formatTables } from './table.ts';
import { countOf, formatLocalTime, shortIds } from './text.ts';

type ListedDisk = ListedPoint['disks'][number] & { readonly pointNumber: number };

const CHANGED = 'changed while read';
/** Of a local time that begins with year, month and day. */
const DATE_COLUMNS = 10;

function formatHealth(health: ListedPoint['verified'], isLong: boolean): string {
  if (!health) return '-';
  const { verifiedAt, sampleRatio, isDamaged } = health;
  const part = sampleRatio < 1 ? ` (${formatPercent(sampleRatio)})` : '';
  const result = isDamaged ? 'damaged' : `ok${part}`;
  return isLong ? `${formatLocalTime(verifiedAt).slice(0, DATE_COLUMNS)}: ${result}` : result;
}

function checkedOn({ verified }: ListedPoint): string {
  return verified ? formatLocalTime(verified.verifiedAt).slice(0, DATE_COLUMNS) : '';
}

function healthStyle({ verified }: ListedPoint): Style | undefined {
  if (!verified) return undefined;
  return verified.isDamaged ? 'red' : 'green';
}

/** A ratio in percent, with three digits. */
export function formatPercent(ratio: number): string {
  return `${Number((ratio * 100).toPrecision(3))} %`;
}

function serversOf({ servedBy = [] }: ListedPoint): string {
  return servedBy.map(({ pid, host }) => `pid ${pid} on ${host}`).join(', ');
}

function hasChanged(point: ListedPoint): boolean {
  return point.disks.some((disk) => disk.changedWhileRead);
}

function pointColumns(points: readonly ListedPoint[], form: OutputForm): Column<ListedPoint>[] {
  const short = shortIds(points.map((point) => point.pointId));
  const isLong = isFull(form);
  const idOf = ({ pointId }: ListedPoint): string => idIn(form, pointId, short);
  const served: Column<ListedPoint> = ['served by', serversOf, { kind: 'note' }];
  const lockColumns = isLong ? undefined : DATE_COLUMNS;
  const lockEnd = ({ lockedUntil }: ListedPoint): string =>
    lockedUntil === undefined ? '-' : formatLocalTime(lockedUntil, isLong).slice(0, lockColumns);
  const locked: Column<ListedPoint> = ['locked until', lockEnd];
  const date: Column<ListedPoint> = ['checked on', checkedOn, { kind: 'extra' }];
  return [
    ['no.', (point) => String(point.number)],
    ['type', (point) => `${point.type}${hasChanged(point) ? '*' : ''}`],
    ['created', (point) => formatLocalTime(point.createdAt, isLong)],
    [isLong ? 'restore point' : 'id', idOf],
    ['file size', (point) => formatBytes(point.fileBytes), { kind: 'extra' }],
    ['verified', (point) => formatHealth(point.verified, isLong), { style: healthStyle }],
    ...(isLong ? [] : [date]),
    ...(points.some(({ lockedUntil }) => lockedUntil) ? [locked] : []),
    ...(points.some(({ servedBy }) => servedBy) ? [served] : []),
    ['file', (point) => point.fileName, { kind: 'full' }],
  ];
}

/** A whole disk that no session read as a full was put together by prune or synthesize. */
function modeOf({ content, mode }: ListedDisk): string {
  return content === 'full' && mode !== 'full' ? 'merged' : mode;
}

const DISK_COLUMNS: readonly Column<ListedDisk>[] = [
  ['no.', (disk) => String(disk.pointNumber)],
  ['disk', (disk) => disk.alias, { kind: 'name' }],
  ['mode', modeOf],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['stored', (disk) => formatBytes(disk.storedBytes)],
  ['note', (disk) => (disk.changedWhileRead ? CHANGED : ''), { style: () => 'yellow' }],
  ['disk id', (disk) => disk.diskId, { kind: 'extra' }],
];

function disksOf({ points }: ListedVm): ListedDisk[] {
  return points.flatMap((point) =>
    point.disks.map((disk) => ({ ...disk, pointNumber: point.number })),
  );
}

/** @param disks - table of the disks, when it is wanted. */
function formatVm(
  { vmName, vmId, points }: ListedVm,
  table: string,
  disks: string | undefined,
  form: OutputForm,
): string {
  const title = formatLine(`${vmName} (${vmId})`, form);
  if (points.length === 0) return `${title}\nno restore points yet`;
  const changed = points.some(hasChanged) ? [`* a disk ${CHANGED} (DSK-112)`] : [];
  return [title, table, ...changed, ...(disks === undefined ? [] : ['', disks])].join('\n');
}

export function formatList(
  { vms, failures }: ListReport,
  form: OutputForm = FULL_FORM,
  withDisks = false,
): string {
  if (vms.length + failures.length === 0) return 'no VM has been backed up here yet';
  const points = vms.map((vm) => vm.points);
  const tables = formatTables(pointColumns(points.flat(), form), points, form);
  const disks = withDisks ? formatTables(DISK_COLUMNS, vms.map(disksOf), form) : [];
  return [
    ...vms.map((vm, index) => formatVm(vm, tables[index] ?? '', disks[index], form)),
    ...failures.map(({ folder, message, code }) =>
      formatLine(`cannot list ${folder}: ${message} (${code})`, form),
    ),
  ].join('\n\n');
}

export function formatRescan(report: RescanReport, form: OutputForm = FULL_FORM): string {
  const { files = [], failed = [] } = report.undeleted ?? {};
  const back = files.map((file) => formatLine(`brought back: ${file}`, form, 4));
  const hidden = failed.map(({ fileName, reason }) =>
    formatLine(`still hidden: ${fileName} (${reason})`, form, 4),
  );
  const vms = report.vms.flatMap((vm) => [
    formatLine(`${vm.vmName} (${vm.vmId}): ${countOf(vm.pointCount, 'restore point')}`, form),
    ...vm.leftOut.map((file) =>
      formatLine(`  left out: ${file.fileName} (${file.reason})`, form, 4),
    ),
  ]);
  return [...back, ...hidden, ...vms].join('\n');
}

type ListedKey = KeysReport['keys'][number] & { readonly isNewest: boolean };

function keyColumns(isLong: boolean): Column<ListedKey>[] {
  return [
    ['key', (key) => key.id],
    ['created', (key) => formatLocalTime(key.createdAt, isLong)],
    ['note', (key) => (key.isNewest ? 'seals new files' : '')],
  ];
}

function recoveryOf({ recoveryFile, isRecoveryFileMissing }: KeySlotReport): string {
  if (recoveryFile === undefined) return '';
  return isRecoveryFileMissing ? `${recoveryFile} is missing` : recoveryFile;
}

function slotColumns(isLong: boolean): Column<KeySlotReport>[] {
  return [
    ['slot', (slot) => slot.id],
    ['type', (slot) => slot.type],
    ['created', (slot) => formatLocalTime(slot.createdAt, isLong)],
    ['recipient', (slot) => slot.recipient ?? '', { kind: 'name' }],
    ['recovery file', recoveryOf, { kind: 'note' }],
  ];
}

export function formatKeys({ keys, slots }: KeysReport, form: OutputForm = FULL_FORM): string {
  const isLong = isFull(form);
  const listed = keys.map((key, k) => ({ ...key, isNewest: k === keys.length - 1 }));
  const tables = [
    ...formatTables(keyColumns(isLong), [listed], form),
    ...formatTables(slotColumns(isLong), [slots], form),
  ];
  return tables.join('\n\n');
}

export function formatNewKeyFile({ file }: KeyFileReport): string {
  return [
    `Key file ${file} was made.`,
    'Keep a copy in a safe place. Without it, the backups that it seals are lost.',
  ].join('\n');
}
