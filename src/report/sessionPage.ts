/** The page of a session: of a backup, or of one that failed. */
import type { RestorePoint } from '../repository/restorePoint.ts';
import type { FailedRecord, OtherRecord } from '../sessions/history/sessionRecord.ts';
import type { SessionReport } from '../sessions/shared/report.ts';
import { chainPart } from './page/chainPart.ts';
import { diskIds, diskMaps, diskTable } from './page/diskParts.ts';
import { page } from './page/frame.ts';
import { html, type Html } from './page/html.ts';
import {
  type Fact,
  factList,
  header,
  id,
  messageList,
  problemNote,
  section,
  type Tile,
  tiles,
  time,
} from './page/parts.ts';
import { otherPage } from './otherPage.ts';
import { bottleneckText, timeParts } from './page/timeParts.ts';
import {
  ageText,
  bytesText,
  counted,
  type Outcome,
  OUTCOME_WORDS,
  ratioText,
  secondsText,
  sumOf,
  timeText,
} from './words.ts';

export interface SessionPageInput {
  readonly session: SessionReport | FailedRecord | OtherRecord;
  /** All points of the VM, oldest first. Undefined when they are not known. */
  readonly points?: readonly RestorePoint[] | undefined;
  readonly madeAt?: Date | undefined;
}

type Points = SessionPageInput['points'];

function outcomeOf(report: SessionReport): Outcome {
  return report.messages.some(({ level }) => level !== 'info') ? 'warning' : 'success';
}

function leadOf(report: SessionReport, outcome: Outcome): string {
  const { pointType, pointNumber, disks } = report;
  const point = `Restore point ${pointNumber} (${pointType}) holds ${counted(disks.length, 'disk')}.`;
  return outcome === 'success'
    ? `${point} There is nothing to do.`
    : `${point} Read the messages below.`;
}

function lockTile(lockedUntil: string): Tile {
  const [day = '', ...rest] = timeText(lockedUntil).split(' ');
  return ['Locked until', day, rest.join(' ')];
}

function sessionTiles(report: SessionReport): Tile[] {
  const { disks, fileBytes, durationSeconds, lockedUntil } = report;
  const readBytes = sumOf(disks, (disk) => disk.readBytes);
  const changedBytes = sumOf(disks, (disk) => disk.changedBytes);
  const storedBytes = sumOf(disks, (disk) => disk.storedBytes);
  const sizeBytes = sumOf(disks, (disk) => disk.sizeBytes);
  const pipelineSeconds = durationSeconds - report.overheadSeconds;
  const speed = pipelineSeconds > 0 ? `${bytesText(readBytes / pipelineSeconds)}/s` : '';
  return [
    ['Read', bytesText(readBytes), `of ${bytesText(sizeBytes)}`],
    ['Changed', bytesText(changedBytes), 'before compression'],
    ['Stored', bytesText(storedBytes), 'after compression'],
    ['Reduction', ratioText(storedBytes > 0 ? changedBytes / storedBytes : 0), 'changed to stored'],
    ['File', bytesText(fileBytes), 'with metadata'],
    ['Duration', secondsText(durationSeconds), speed && `reads ${speed}`],
    ...(lockedUntil ? [lockTile(lockedUntil)] : []),
  ];
}

function engineFacts({ engine }: SessionReport): Fact[] {
  if (!engine) return [];
  const leftOut = engine.leftOut.map((disk) => `${disk.alias} (${disk.cause})`);
  return [
    ['Backup of the engine', id(engine.backupId)],
    ['Begins at checkpoint', engine.fromCheckpointId ? id(engine.fromCheckpointId) : 'none'],
    ['Ends at checkpoint', engine.toCheckpointId ? id(engine.toCheckpointId) : 'none'],
    ['Backups started', engine.backupsStarted > 1 && engine.backupsStarted],
    ['Frozen after', secondsText(engine.startSeconds)],
    ['Ended after', secondsText(engine.finalizeSeconds)],
    ['Disks left out', leftOut.join(', ')],
  ];
}

function auditFacts({ disks }: SessionReport): Fact[] {
  return disks.flatMap(({ alias, audit }): Fact[] => {
    if (!audit) return [];
    const { auditedBlocks, mismatchedBlocks, readBytes } = audit;
    const found = mismatchedBlocks === 0 ? 'none differs' : `${mismatchedBlocks} differ`;
    const text = `${auditedBlocks} blocks called unchanged were read (${bytesText(readBytes)}), ${found}`;
    return [[`Audit of ${alias}`, text]];
  });
}

const MAX_NAMED_POINTS = 10;

function healingFacts({ healing }: SessionReport): Fact[] {
  if (!healing) return [];
  const { blockCount, damagedPointIds } = healing;
  const named = damagedPointIds.slice(0, MAX_NAMED_POINTS);
  const more = damagedPointIds.length - named.length;
  return [
    ['Damaged blocks stored anew', blockCount],
    [
      'Points that stay damaged',
      named.length > 0 &&
        html`${named.map((pointId) => html`<div>${id(pointId)}</div>`)}${more > 0 && html`<div>and ${more} more</div>`}`,
    ],
  ];
}

function evidence(report: SessionReport): Html {
  return factList([
    ['Session', id(report.sessionId)],
    ['VM', id(report.vmId)],
    ['Repository', id(report.repository)],
    ['File', id(report.fileName)],
    ['Restore point', id(report.pointId)],
    ['Builds on', report.parentPointId ? id(report.parentPointId) : 'nothing: it is a full'],
    ['Started', time(report.startedAt)],
    ['Disks', diskIds(report.disks)],
    ...engineFacts(report),
    ...auditFacts(report),
    ...healingFacts(report),
  ]);
}

/** Sections of a finished session without its head. The page of a run shows them for each VM. */
export function sessionBody(report: SessionReport): Html {
  const maps = diskMaps(report.disks);
  return html`${section('Disks', diskTable(report.disks), undefined, 'long')}${
    maps &&
    section(
      'Where the changes lie',
      maps,
      'Each bar is a whole disk, from its first byte on the left to its last on the right.',
      'long',
    )
  }${section('Where the time went', timeParts(report), bottleneckText(report))}`;
}

function growth(points: Points, pointId: string): Html | undefined {
  if (!points || points.length === 0) return undefined;
  return section(
    'Growth of this VM in the repository',
    chainPart(points, pointId),
    'Restore points that are there now. Deleted ones are left out.',
  );
}

function donePage(report: SessionReport, points: Points, madeAt: Date): string {
  const outcome = outcomeOf(report);
  const { vmName, messages } = report;
  const told = messages.length > 0 ? messageList(messages) : html`<p class="soft">None.</p>`;
  const messagePart = section('Messages', told);
  const body = html`${header({ ...report, outcome, lead: leadOf(report, outcome) })}${tiles(sessionTiles(report))}${
    outcome === 'warning' && messagePart
  }${sessionBody(report)}${growth(points, report.pointId)}${outcome === 'success' && messagePart}${section('Evidence', evidence(report), 'Names and ids, to find this session elsewhere.')}`;
  return page(`${vmName}: ${OUTCOME_WORDS[outcome]}`, body, madeAt);
}

function lastPointText(failed: FailedRecord, points: Points): string {
  if (!points) return '';
  const last = points.filter((point) => point.createdAt <= failed.startedAt).at(-1);
  if (!last) return 'The repository has no restore point of this VM from before.';
  const age = ageText(Date.parse(failed.startedAt) - Date.parse(last.createdAt));
  return `The last good restore point is number ${last.number}. It was ${age} old.`;
}

function failedPage(failed: FailedRecord, points: Points, madeAt: Date): string {
  const { vmName, code, message: text, hint, messages, startedAt } = failed;
  const lead =
    failed.type === 'backup'
      ? `No restore point was made. ${lastPointText(failed, points)}`
      : 'It did not do all of its work.';
  const note = problemNote(html`<b>Reason</b>`, [{ code, text, hint }], 'failure');
  const facts = factList([
    ['Session', failed.sessionId && id(failed.sessionId)],
    ['VM', failed.vmId && id(failed.vmId)],
    ['Started', time(startedAt)],
    ['Duration', secondsText(failed.durationSeconds)],
  ]);
  const body = html`${header({ ...failed, outcome: 'failure', lead })}${section('What happened', html`<ul class="notes">${note}</ul>`)}${
    messages.length > 0 && section('Messages before it', messageList(messages))
  }${growth(points, '')}${section('Evidence', facts, 'Names and ids, to find this session elsewhere.')}`;
  return page(`${vmName}: ${OUTCOME_WORDS.failure}`, body, madeAt);
}

/** A self-contained HTML document. */
export function sessionPage(input: SessionPageInput): string {
  const { session, points, madeAt = new Date() } = input;
  if (!('outcome' in session)) return donePage(session, points, madeAt);
  return session.outcome === 'failed'
    ? failedPage(session, points, madeAt)
    : otherPage(session, madeAt);
}
