/** Tables of backup sessions: disks, seconds of each stage, and facts of the session. */
import { formatBytes } from '../../core/units.ts';
import type { JobReport } from '../../sessions/backup/backupVms.ts';
import type { DiskReport, SessionReport } from '../../sessions/shared/report.ts';
import { type Column, formatRows, formatSeconds } from './table.ts';

/** Table of the disks: a new column of a session is one line here. */
const DISK_COLUMNS: readonly Column<DiskReport>[] = [
  ['disk', (disk) => disk.alias],
  ['mode', (disk) => disk.mode],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['read', (disk) => formatBytes(disk.readBytes)],
  ['zero', (disk) => formatBytes(disk.zeroBytes)],
  ['unchanged', (disk) => formatBytes(disk.unchangedBytes)],
  ['changed', (disk) => formatBytes(disk.changedBytes)],
  ['stored', (disk) => formatBytes(disk.storedBytes)],
  ['ratio', (disk) => (disk.reductionRatio > 0 ? `${disk.reductionRatio.toFixed(2)}x` : '-')],
  ['rate (read)', (disk) => `${formatBytes(disk.readBytesPerSecond)}/s`],
  ['reason', (disk) => disk.reason],
];

/** Table of the seconds that each stage was busy, per disk. */
const STAGE_COLUMNS: readonly Column<DiskReport>[] = [
  ['seconds', (disk) => disk.alias],
  ['extents', (disk) => disk.seconds.extents.toFixed(2)],
  ['read', (disk) => disk.seconds.read.toFixed(2)],
  ['hash', (disk) => disk.seconds.hash.toFixed(2)],
  ['compress', (disk) => disk.seconds.compress.toFixed(2)],
  ['write', (disk) => disk.seconds.write.toFixed(2)],
  ['wait', (disk) => disk.seconds.wait.toFixed(2)],
  ['wall', (disk) => disk.wallSeconds.toFixed(2)],
];

export function formatSession(report: SessionReport): string {
  const { bottleneck } = report;
  return [
    `${report.vmName}: restore point ${report.pointNumber} (${report.pointType}) ${report.pointId}`,
    ...diskTables(report),
    ...engineLines(report),
    ...auditLines(report),
    ...healingLines(report),
    `file        ${report.fileName} (${formatBytes(report.fileBytes)})`,
    `duration    ${formatSeconds(report.durationSeconds)}, of it ${formatSeconds(report.overheadSeconds)} outside the pipelines (commit ${formatSeconds(report.commitSeconds)})`,
    `bottleneck  ${bottleneck.stage}, busy ${Math.round(bottleneck.busyRatio * 100)} %`,
    `messages    ${report.messages.length === 0 ? 'none' : report.messages.map((m) => m.code).join(', ')}`,
  ].join('\n');
}

function diskTables({ disks }: SessionReport): string[] {
  if (disks.length === 0) return ['no disk, only the configuration of the VM', ''];
  return [formatRows(DISK_COLUMNS, disks), '', formatRows(STAGE_COLUMNS, disks), ''];
}

/** Only for VMs of an engine: seconds that the engine took, and the checkpoints. */
function engineLines(report: SessionReport): string[] {
  const { engine } = report;
  if (!engine) return [];
  const [start, end] = [engine.startSeconds, engine.finalizeSeconds].map((s) => formatSeconds(s));
  const leftOut = engine.leftOut.map((disk) => `${disk.alias} (${disk.cause})`);
  if (engine.backupsStarted === 0) return leftOutLines(leftOut);
  return [
    `engine      frozen after ${start}, ended after ${end}`,
    `checkpoint  ${engine.fromCheckpointId || 'none'} -> ${engine.toCheckpointId || 'none'}`,
    ...leftOutLines(leftOut),
  ];
}

function leftOutLines(leftOut: readonly string[]): string[] {
  return leftOut.length > 0 ? [`left out    ${leftOut.join(', ')}`] : [];
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
