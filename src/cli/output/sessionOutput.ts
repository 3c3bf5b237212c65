/** Tables of backup sessions: disks, seconds of each stage, and facts of the session. */
import { LIMIT_STAGE } from '../../core/stats.ts';
import { formatBytes } from '../../core/units.ts';
import type { DiskReport, SessionReport } from '../../sessions/shared/report.ts';
import { FULL_FORM, idIn, isFull, type OutputForm } from './outputForm.ts';
import { type Column, formatFact, formatLine, formatTables, formatSeconds } from './table.ts';
import { countOf, printable } from './text.ts';

/** Table of the disks: a new column of a session is one line here. */
const DISK_COLUMNS: readonly Column<DiskReport>[] = [
  ['disk', (disk) => disk.alias, { kind: 'name' }],
  ['mode', (disk) => disk.mode],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['read', (disk) => formatBytes(disk.readBytes)],
  ['zero', (disk) => formatBytes(disk.zeroBytes), { kind: 'extra' }],
  ['unchanged', (disk) => formatBytes(disk.unchangedBytes), { kind: 'extra' }],
  ['changed', (disk) => formatBytes(disk.changedBytes)],
  ['stored', (disk) => formatBytes(disk.storedBytes)],
  ['ratio', formatRatio, { kind: 'extra' }],
  ['rate (read)', (disk) => `${formatBytes(disk.readBytesPerSecond)}/s`, { kind: 'extra' }],
  ['reason', (disk) => disk.reason, { kind: 'note' }],
];

function formatRatio({ reductionRatio }: DiskReport): string {
  return reductionRatio > 0 ? `${reductionRatio.toFixed(2)}x` : '-';
}

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
const LIMIT_COLUMN: Column<DiskReport> = ['limit', (disk) => (disk.seconds.limit ?? 0).toFixed(2)];

/** Only sessions with a limit of the rate have its column. */
function stageColumns(disks: readonly DiskReport[]): readonly Column<DiskReport>[] {
  const isLimited = disks.some(({ seconds }) => seconds.limit !== undefined);
  return isLimited ? [...STAGE_COLUMNS, LIMIT_COLUMN] : STAGE_COLUMNS;
}

type Fact = readonly [label: string, text: string];

export function formatSession(report: SessionReport, form: OutputForm = FULL_FORM): string {
  return formatSessions([report], form)[0] ?? '';
}

/** One text for each session. Their tables have the same columns. */
export function formatSessions(
  reports: readonly SessionReport[],
  form: OutputForm = FULL_FORM,
): string[] {
  const disks = reports.map((report) => report.disks);
  const tables = formatTables(DISK_COLUMNS, disks, form);
  const stages = isFull(form) ? formatTables(stageColumns(disks.flat()), disks, form) : [];
  return reports.map((report, index) => {
    const parts = [tables[index] ?? '', ...stages.slice(index, index + 1)];
    return formatReport(report, parts, form);
  });
}

function formatReport(report: SessionReport, tables: readonly string[], form: OutputForm): string {
  const { vmName, pointNumber, pointType, disks } = report;
  const pointId = idIn(form, report.pointId);
  const facts: Fact[] = [
    ...engineFacts(report),
    ...auditFacts(report),
    ...healingFacts(report, form),
    ['file', `${report.fileName} (${formatBytes(report.fileBytes)})`],
    [
      'duration',
      `${formatSeconds(report.durationSeconds)}, of it ${formatSeconds(report.overheadSeconds)} outside the pipelines (commit ${formatSeconds(report.commitSeconds)})`,
    ],
    ['bottleneck', describeBottleneck(report)],
    ...messageFacts(report, form),
  ];
  return [
    formatLine(`${vmName}: restore point ${pointNumber} (${pointType}) ${pointId}`, form),
    disks.length > 0 ? tables.join('\n\n') : 'no disk, only the configuration of the VM',
    '',
    ...facts.map(([label, text]) => formatFact(label, text, form)),
  ].join('\n');
}

/** Only for VMs of an engine: seconds that the engine took, and the checkpoints. */
function engineFacts({ engine }: SessionReport): Fact[] {
  if (!engine) return [];
  const [start, end] = [engine.startSeconds, engine.finalizeSeconds].map((s) => formatSeconds(s));
  const leftOut = engine.leftOut.map((disk) => `${disk.alias} (${disk.cause})`);
  if (engine.backupsStarted === 0) return leftOutFacts(leftOut);
  return [
    ['engine', `frozen after ${start}, ended after ${end}`],
    ['checkpoint', `${engine.fromCheckpointId || 'none'} -> ${engine.toCheckpointId || 'none'}`],
    ...leftOutFacts(leftOut),
  ];
}

function leftOutFacts(leftOut: readonly string[]): Fact[] {
  return leftOut.length > 0 ? [['left out', leftOut.join(', ')]] : [];
}

function auditFacts(report: SessionReport): Fact[] {
  return report.disks.flatMap(({ alias, audit }): Fact[] => {
    if (!audit) return [];
    const { auditedBlocks, mismatchedBlocks } = audit;
    const found = mismatchedBlocks === 0 ? 'none differs' : `${mismatchedBlocks} differ`;
    return [['audit', `${alias}: ${auditedBlocks} blocks called unchanged were read, ${found}`]];
  });
}

const MAX_NAMED_POINTS = 10;

function healingFacts({ healing }: SessionReport, form: OutputForm): Fact[] {
  if (!healing) return [];
  const { blockCount, damagedPointIds } = healing;
  const shown = damagedPointIds.slice(0, MAX_NAMED_POINTS);
  const named = shown.map((id) => idIn(form, id)).join(', ');
  const more = damagedPointIds.length - MAX_NAMED_POINTS;
  const points = damagedPointIds.length === 1 ? 'restore point' : 'restore points';
  return [
    ...(blockCount > 0
      ? [['healed', `${countOf(blockCount, 'damaged block')} read and stored anew`] as const]
      : []),
    ...(named
      ? [['damaged', `${points} ${named}${more > 0 ? ` and ${more} more` : ''}`] as const]
      : []),
  ];
}

/** Share of the time from which a stage, or the engine, is what the session waited for. */
const MAIN_SHARE = 0.5;

/** The busiest stage, or the reason why none held the session up. */
function describeBottleneck(report: SessionReport): string {
  const { bottleneck, engine, durationSeconds, overheadSeconds } = report;
  const engineSeconds = (engine?.startSeconds ?? 0) + (engine?.finalizeSeconds ?? 0);
  const half = durationSeconds * MAIN_SHARE;
  const share = (seconds: number): string =>
    `${formatSeconds(seconds)} of ${formatSeconds(durationSeconds)}`;
  if (engine && engineSeconds >= half) {
    return `none: the session mostly waited for the engine (${share(engineSeconds)})`;
  }
  if (overheadSeconds > half) {
    const parts = engine ? 'the engine, checks and the commit' : 'checks and the commit';
    return `none: ${share(overheadSeconds)} passed without reading data, for ${parts}`;
  }
  const { stage, busyRatio } = bottleneck;
  const percent = Math.round(busyRatio * 100);
  const how = stage === LIMIT_STAGE ? 'waited for' : 'busy';
  if (busyRatio >= MAIN_SHARE) return `${stage}, ${how} ${percent} %`;
  return 'none: no stage was busy for half of the time';
}

/** All messages, each with its text. The label stands before the first one. */
function messageFacts({ messages }: SessionReport, { hasMessages = false }: OutputForm): Fact[] {
  if (messages.length === 0) return [['messages', 'none']];
  if (hasMessages) {
    const codes = messages.map(({ level, code }) => `${level} ${code}`);
    return [['messages', `${codes.join(', ')} (texts above)`]];
  }
  return messages.map(({ level, code, text }, index) => [
    index === 0 ? 'messages' : '',
    `${level} ${code} ${printable(text)}`,
  ]);
}
