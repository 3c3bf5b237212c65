/** Where the time of a session went. */
import { LIMIT_STAGE } from '../../core/stats.ts';
import type { DiskReport, SessionReport, StageSeconds } from '../../sessions/shared/report.ts';
import { legend, type Share, stackedBar } from './charts.ts';
import { html, type Html } from './html.ts';
import { name, table, type TableColumn } from './parts.ts';
import type { Fill } from './style.ts';
import { secondsText, sumOf } from '../words.ts';

const STAGES: readonly (readonly [keyof StageSeconds & Fill, label: string])[] = [
  ['extents', 'Ask for extents'],
  ['read', 'Read'],
  ['hash', 'Compare'],
  ['compress', 'Compress'],
  ['write', 'Write'],
  ['wait', 'Wait for room'],
];
/** Only for sessions with a limit of the rate. */
const LIMIT: (typeof STAGES)[number] = ['limit', 'Wait for the limit'];

function stagesIn(disks: readonly DiskReport[]): typeof STAGES {
  return disks.some(({ seconds }) => seconds.limit !== undefined) ? [...STAGES, LIMIT] : STAGES;
}

function share(label: string, seconds: number, fill: Fill): Share {
  return { label, value: seconds, text: secondsText(seconds), fill };
}

/** Parts of the whole duration, one after the other. */
function phasesOf(report: SessionReport): Share[] {
  const { durationSeconds, overheadSeconds, commitSeconds, engine } = report;
  const start = engine?.startSeconds ?? 0;
  const finalize = engine?.finalizeSeconds ?? 0;
  const rest = overheadSeconds - commitSeconds - start - finalize;
  return [
    share('Engine freezes the disks', start, 'engine'),
    share('Disks are read and stored', durationSeconds - overheadSeconds, 'read'),
    share('Commit', commitSeconds, 'commit'),
    share('Engine ends the backup', finalize, 'hash'),
    share('Checks and metadata', rest, 'wait'),
  ].filter(({ value }) => value > 0);
}

function stagesOf(disks: readonly DiskReport[]): Share[] {
  return stagesIn(disks).map(([stage, label]) =>
    share(
      label,
      sumOf(disks, (disk) => disk.seconds[stage] ?? 0),
      stage,
    ),
  );
}

function figure(title: string, note: string, shares: readonly Share[]): Html {
  return html`<figure><figcaption><b>${title}</b><span class="soft">${note}</span></figcaption>${stackedBar(title, shares)}${legend(shares)}</figure>
`;
}

function stageTable(disks: readonly DiskReport[]): Html {
  const columns: readonly TableColumn<DiskReport>[] = [
    { label: 'Disk', cell: (disk) => name(disk.alias) },
    ...stagesIn(disks).map(([stage, label]) => ({
      label,
      kind: 'number' as const,
      cell: (disk: DiskReport) => secondsText(disk.seconds[stage] ?? 0),
    })),
    { label: 'From start to end', kind: 'number', cell: (disk) => secondsText(disk.wallSeconds) },
  ];
  return table('Stages of each disk', columns, disks);
}

/** Share of the time from which a stage counts as what held the session up. */
const MAIN_SHARE = 0.5;

/** What held the session up, in a sentence. */
export function bottleneckText({ bottleneck, disks, engine, ...report }: SessionReport): string {
  const { durationSeconds, overheadSeconds } = report;
  const engineSeconds = (engine?.startSeconds ?? 0) + (engine?.finalizeSeconds ?? 0);
  if (engineSeconds >= durationSeconds * MAIN_SHARE) return 'Mostly the engine was waited for.';
  if (overheadSeconds > durationSeconds * MAIN_SHARE || disks.length === 0) {
    return 'Most of the time passed without reading data, for checks and the commit.';
  }
  const { stage, busyRatio } = bottleneck;
  if (busyRatio < MAIN_SHARE) return 'No stage was busy for half of the time.';
  const how = stage === LIMIT_STAGE ? 'waited for' : 'busy for';
  return `Bottleneck: ${stage}, ${how} ${Math.round(busyRatio * 100)} % of the time.`;
}

export function timeParts(report: SessionReport): Html {
  const { disks, durationSeconds } = report;
  const total = secondsText(durationSeconds);
  const work = secondsText(
    sumOf(disks, (disk) => sumOf(STAGES, ([stage]) => disk.seconds[stage] ?? 0)),
  );
  return html`${figure('Whole session', total, phasesOf(report))}${
    disks.length > 0 &&
    figure('Stages of all disks', `${work} of work, partly at the same time`, stagesOf(disks))
  }${
    disks.length > 1 &&
    html`<details><summary>Stages of each disk</summary>${stageTable(disks)}</details>`
  }`;
}
