/** Output of the commands for a repository: list, rescan. */
import { formatBytes } from '../../core/units.ts';
import type { RescanReport } from '../../sessions/cleanup/rescanRepository.ts';
import type { ListedPoint, ListReport } from '../../sessions/inspect/listRepository.ts';
import { type Column, formatRows } from './table.ts';

type ListedDisk = ListedPoint['disks'][number];

function twoDigits(value: number): string {
  return String(Math.trunc(value)).padStart(2, '0');
}

/** Local time with the offset of its zone, such as `2026-11-29 11:48:05 +01:00`. */
export function formatLocalTime(time: string): string {
  const date = new Date(time);
  const [month, day] = [date.getMonth() + 1, date.getDate()].map(twoDigits);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':');
  const eastMinutes = -date.getTimezoneOffset();
  const [hours, minutes] = [Math.abs(eastMinutes) / 60, Math.abs(eastMinutes) % 60].map(twoDigits);
  const zone = `${eastMinutes < 0 ? '-' : '+'}${hours}:${minutes}`;
  return `${date.getFullYear()}-${month}-${day} ${clock} ${zone}`;
}

function formatHealth(health: ListedPoint['verified']): string {
  if (!health) return '-';
  const { verifiedAt, sampleRatio, isDamaged } = health;
  const part = sampleRatio < 1 ? ` (${formatPercent(sampleRatio)})` : '';
  return `${formatLocalTime(verifiedAt).slice(0, 10)}: ${isDamaged ? 'damaged' : `ok${part}`}`;
}

/** A ratio in percent, with three digits. */
export function formatPercent(ratio: number): string {
  return `${Number((ratio * 100).toPrecision(3))} %`;
}

function formatDisk({ alias, mode, changedWhileRead }: ListedDisk): string {
  return `${alias} (${mode}${changedWhileRead ? ', changed while read' : ''})`;
}

const POINT_COLUMNS: readonly Column<ListedPoint>[] = [
  ['no.', (point) => String(point.number)],
  ['type', (point) => point.type],
  ['created', (point) => formatLocalTime(point.createdAt)],
  ['restore point', (point) => point.pointId],
  ['file size', (point) => formatBytes(point.fileBytes)],
  ['verified', (point) => formatHealth(point.verified)],
  ['disks', (point) => point.disks.map(formatDisk).join(', ')],
  ['file', (point) => point.fileName],
];

export function formatList({ vms, failures }: ListReport): string {
  if (vms.length + failures.length === 0) return 'no VM has been backed up here yet';
  return [
    ...vms.map(
      ({ vmName, vmId, points }) => `${vmName} (${vmId})\n${formatRows(POINT_COLUMNS, points)}`,
    ),
    ...failures.map(({ folder, message, code }) => `cannot list ${folder}: ${message} (${code})`),
  ].join('\n\n');
}

export function formatRescan(report: RescanReport): string {
  return report.vms
    .flatMap((vm) => [
      `${vm.vmName} (${vm.vmId}): ${vm.pointCount} restore points`,
      ...vm.leftOut.map((file) => `  left out: ${file.fileName} (${file.reason})`),
    ])
    .join('\n');
}
