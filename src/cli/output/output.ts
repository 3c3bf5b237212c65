/** What the commands print: aligned tables for people, one JSON document for programs. */
import type { SessionMessage } from '../../core/messages.ts';
import { formatBytes, formatDuration } from '../../core/units.ts';
import type { JobReport } from '../../sessions/backup/backupVms.ts';
import type { CleanupReport } from '../../sessions/cleanup/cleanupVm.ts';
import type { InspectReport } from '../../sessions/inspect/inspectContainer.ts';
import type { ListedPoint, ListReport } from '../../sessions/inspect/listRepository.ts';
import type { PreflightReport } from '../../sessions/backup/vm/preflightVm.ts';
import type { DiskReport, SessionReport } from '../../sessions/shared/report.ts';
import type { RescanReport } from '../../sessions/cleanup/rescanRepository.ts';
import type { RestoreReport } from '../../sessions/restore/restoreImages.ts';
import type { RestoreVmReport } from '../../sessions/restore/restoreVm.ts';

const MS = 1000;
/** Control characters in names out of files must not reach a terminal. */
const CONTROL = /\p{Cc}/gu;

/** Columns padded to their widest cell; numbers (cells that start with a digit) to the right. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, column) => {
        const cell = text.replaceAll(CONTROL, '?');
        const width = widths[column] ?? 0;
        return /^\d/.test(cell) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [line(header), ...rows.map(line)].join('\n');
}

function seconds(value: number): string {
  return value.toFixed(2);
}

function diskRow(disk: DiskReport): string[] {
  const { sizeBytes, readBytes, zeroBytes, unchangedBytes, changedBytes, storedBytes } = disk;
  return [
    disk.alias,
    disk.mode,
    ...[sizeBytes, readBytes, zeroBytes, unchangedBytes, changedBytes, storedBytes].map(
      formatBytes,
    ),
    disk.reductionRatio > 0 ? `${disk.reductionRatio.toFixed(2)}x` : '-',
    `${formatBytes(disk.readBytesPerSecond)}/s`,
    disk.reason,
  ];
}

function stageRow(disk: DiskReport): string[] {
  const { extents, read, hash, compress, write, wait } = disk.seconds;
  return [
    disk.alias,
    ...[extents, read, hash, compress, write, wait, disk.wallSeconds].map(seconds),
  ];
}

export function formatSession(report: SessionReport): string {
  const disks = formatTable(
    [
      'disk',
      'mode',
      'size',
      'read',
      'zero',
      'unchanged',
      'changed',
      'stored',
      'ratio',
      'rate (read)',
      'reason',
    ],
    report.disks.map(diskRow),
  );
  const stages = formatTable(
    ['seconds', 'extents', 'read', 'hash', 'compress', 'write', 'wait', 'wall'],
    report.disks.map(stageRow),
  );
  const { bottleneck } = report;
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointType}) ${report.pointId}`,
    disks,
    '',
    stages,
    '',
    ...engineLines(report),
    ...auditLines(report),
    ...healingLines(report),
    `file        ${report.fileName} (${formatBytes(report.fileBytes)})`,
    `duration    ${formatDuration(report.durationSeconds * MS)}, of it ${formatDuration(report.overheadSeconds * MS)} outside the pipelines (commit ${formatDuration(report.commitSeconds * MS)})`,
    `bottleneck  ${bottleneck.stage}, busy ${Math.round(bottleneck.busyRatio * 100)} %`,
    `messages    ${report.messages.length === 0 ? 'none' : report.messages.map((m) => m.code).join(', ')}`,
  ].join('\n');
}

/** Seconds that the engine took, and the checkpoints of a session over a VM. */
function engineLines(report: SessionReport): string[] {
  const { engine } = report;
  if (!engine) return [];
  const [start, end] = [engine.startSeconds, engine.finalizeSeconds].map((s) =>
    formatDuration(s * MS),
  );
  const leftOut = engine.leftOut.map((disk) => `${disk.alias} (${disk.cause})`);
  return [
    `engine      frozen after ${start}, ended after ${end}`,
    `checkpoint  ${engine.fromCheckpointId || 'none'} -> ${engine.toCheckpointId || 'none'}`,
    ...(leftOut.length > 0 ? [`left out    ${leftOut.join(', ')}`] : []),
  ];
}

function auditLines(report: SessionReport): string[] {
  return report.disks.flatMap(({ alias, audit }) => {
    if (!audit) return [];
    const { auditedBlocks, mismatchedBlocks } = audit;
    const found = mismatchedBlocks === 0 ? 'none differs' : `${mismatchedBlocks} differ`;
    return [`audit       ${alias}: ${auditedBlocks} blocks called unchanged were read, ${found}`];
  });
}

const MAX_NAMED_POINTS = 10;

function healingLines({ healing }: SessionReport): string[] {
  if (!healing) return [];
  const { blockCount, damagedPointIds } = healing;
  const named = damagedPointIds.slice(0, MAX_NAMED_POINTS).join(', ');
  const more = damagedPointIds.length - MAX_NAMED_POINTS;
  return [
    ...(blockCount > 0
      ? [`healed      ${blockCount} damaged blocks were read and stored anew`]
      : []),
    ...(named ? [`damaged     restore points ${named}${more > 0 ? ` and ${more} more` : ''}`] : []),
  ];
}

export function formatJob(report: JobReport): string {
  const sessions = report.sessions.map(formatSession);
  const failures = report.failures.map(
    (failure) => `${failure.vmName}: failed: ${failure.message} (${failure.code}) ${failure.hint}`,
  );
  return [...sessions, ...failures].join('\n\n');
}

export function formatPreflight(report: PreflightReport): string {
  const rows = report.disks.map((disk) => [
    disk.alias,
    disk.format,
    formatBytes(disk.sizeBytes),
    disk.mode,
    disk.isTrackable ? 'yes' : 'no',
    disk.reason,
    disk.advice,
  ]);
  const header = ['disk', 'format', 'size', 'next session', 'tracked', 'reason', 'what to do'];
  const verdict = report.canStart ? 'a session can start' : 'a session cannot start now';
  return [
    `${report.vmName} (${report.vmId}) is ${report.vmState}; engine ${report.engineVersion}`,
    formatTable(header, rows),
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

export function formatRestoreVm(report: RestoreVmReport): string {
  const rows = report.disks.map((disk) => [
    disk.alias,
    disk.format,
    formatBytes(disk.sizeBytes),
    formatBytes(disk.uploadedBytes),
    formatBytes(disk.zeroedBytes),
    disk.isVerified ? 'equal' : 'not offered',
    formatDuration(disk.wallSeconds * MS),
    disk.newDiskId,
  ]);
  const header = ['disk', 'format', 'size', 'uploaded', 'zeroed', 'checksum', 'time', 'new disk'];
  const configuration = report.hasConfiguration ? 'saved configuration' : 'default hardware';
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointId}) restored as ${report.newVmName} (${report.newVmId}) in ${formatDuration(report.durationSeconds * MS)}, ${configuration}, powered off`,
    formatTable(header, rows),
  ].join('\n');
}

export function formatMessage(message: SessionMessage): string {
  const advice = message.resolution === 'None.' ? '' : ` ${message.resolution}`;
  return `${message.level}: ${message.code} ${message.text}${advice}`;
}

function formatHealth(health: ListedPoint['verified']): string {
  if (!health) return '-';
  const { verifiedAt, sampleRatio, isDamaged } = health;
  const part = sampleRatio < 1 ? ` (${formatPercent(sampleRatio)})` : '';
  return `${verifiedAt.slice(0, 10)}: ${isDamaged ? 'damaged' : `ok${part}`}`;
}

function formatPercent(ratio: number): string {
  return `${Number((ratio * 100).toPrecision(3))} %`;
}

export function formatList(report: ListReport): string {
  if (report.vms.length === 0) return 'no VM has been backed up here yet';
  return report.vms
    .map((vm) => {
      const rows = vm.points.map((point) => [
        String(point.number),
        point.type,
        point.createdAt,
        point.pointId,
        formatBytes(point.fileBytes),
        formatHealth(point.verified),
        point.disks.map((disk) => `${disk.alias} (${disk.mode})`).join(', '),
        point.fileName,
      ]);
      const header = [
        'no.',
        'type',
        'created',
        'restore point',
        'file size',
        'verified',
        'disks',
        'file',
      ];
      return `${vm.vmName} (${vm.vmId})\n${formatTable(header, rows)}`;
    })
    .join('\n\n');
}

export function formatRestore(report: RestoreReport): string {
  const rows = report.disks.map((disk) => [
    disk.alias,
    formatBytes(disk.sizeBytes),
    formatBytes(disk.writtenBytes),
    formatDuration(disk.wallSeconds * MS),
    disk.path,
  ]);
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointId}) restored as ${report.format} in ${formatDuration(report.durationSeconds * MS)}`,
    formatTable(['disk', 'size', 'written', 'time', 'file'], rows),
  ].join('\n');
}

export function formatRescan(report: RescanReport): string {
  return report.vms
    .flatMap((vm) => [
      `${vm.vmName} (${vm.vmId}): ${vm.pointCount} restore points`,
      ...vm.leftOut.map((file) => `  left out: ${file.fileName} (${file.reason})`),
    ])
    .join('\n');
}

export function formatInspect(report: InspectReport): string {
  const slots = report.slots.map(
    (slot) =>
      `slot ${slot.slotNumber}      ${slot.state}${slot.version === undefined ? '' : `, version ${slot.version}, ${slot.bankCount} banks`}${slot.slotNumber === report.activeSlot ? ' (read)' : ''}`,
  );
  const items = report.items.map((item) => [
    item.kind,
    String(item.count),
    formatBytes(item.sizeBytes),
    item.properties
      .map((property) => `${property.name}=${String(property.value).slice(0, 40)}`)
      .join(' '),
    item.path,
  ]);
  return [
    `file        ${report.file} (${formatBytes(report.fileBytes)}, snapshot ends at ${report.endOfFileBytes} B)`,
    `format      version 13, slot format ${report.slotFormat}, blocks of ${formatBytes(report.blockSizeBytes)}`,
    ...slots,
    `metadata    ${report.bankCount} banks, ${report.metadataPages} pages`,
    `blocks      ${report.storedBlocks} stored (${report.sharedBlocks} shared, ${report.freeExtents} free): ${formatBytes(report.plainBytes)} as ${formatBytes(report.storedBytes)}`,
    `problems    ${report.problems.length === 0 ? 'none' : report.problems.join('; ')}`,
    '',
    formatTable(['item', 'count', 'size', 'properties', 'path'], items),
  ].join('\n');
}
