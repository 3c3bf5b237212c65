/** Disks of a session: table, and maps of where their changes lie. */
import type { DiskReport } from '../../sessions/shared/report.ts';
import { blockMap, countCells, legend } from './charts.ts';
import { html, type Html } from './html.ts';
import { id, name, table, type TableColumn } from './parts.ts';
import { bytesText, ratioText, sumOf } from '../words.ts';

interface DiskRow
  extends Pick<
    DiskReport,
    | 'sizeBytes'
    | 'readBytes'
    | 'zeroBytes'
    | 'unchangedBytes'
    | 'changedBytes'
    | 'storedBytes'
    | 'reductionRatio'
  > {
  readonly disk: DiskReport | undefined;
}

const NUMBERS: readonly (readonly [string, (row: DiskRow) => string])[] = [
  ['Size', (row) => bytesText(row.sizeBytes)],
  ['Read', (row) => bytesText(row.readBytes)],
  ['Zero', (row) => bytesText(row.zeroBytes)],
  ['Unchanged', (row) => bytesText(row.unchangedBytes)],
  ['Changed', (row) => bytesText(row.changedBytes)],
  ['Stored', (row) => bytesText(row.storedBytes)],
  ['Ratio', (row) => ratioText(row.reductionRatio)],
  ['Speed', ({ disk }) => (disk ? `${bytesText(disk.readBytesPerSecond)}/s` : '')],
];

const COLUMNS: readonly TableColumn<DiskRow>[] = [
  { label: 'Disk', cell: ({ disk }) => (disk ? name(disk.alias) : 'All disks') },
  {
    label: 'Mode',
    kind: 'wide',
    cell: ({ disk }) => disk && html`${disk.mode}<span class="why">${disk.reason}</span>`,
  },
  ...NUMBERS.map(([label, cell]) => ({ label, cell, kind: 'number' as const })),
];

function totalOf(disks: readonly DiskReport[]): DiskRow {
  const changedBytes = sumOf(disks, (disk) => disk.changedBytes);
  const storedBytes = sumOf(disks, (disk) => disk.storedBytes);
  return {
    disk: undefined,
    sizeBytes: sumOf(disks, (disk) => disk.sizeBytes),
    readBytes: sumOf(disks, (disk) => disk.readBytes),
    zeroBytes: sumOf(disks, (disk) => disk.zeroBytes),
    unchangedBytes: sumOf(disks, (disk) => disk.unchangedBytes),
    changedBytes,
    storedBytes,
    reductionRatio: storedBytes > 0 ? changedBytes / storedBytes : 0,
  };
}

export function diskTable(disks: readonly DiskReport[]): Html {
  if (disks.length === 0) {
    return html`<p>No disk. The restore point holds the configuration of the VM.</p>`;
  }
  const rows = disks.map((disk) => ({ ...disk, disk }));
  return table('Disks', COLUMNS, rows, disks.length > 1 ? totalOf(disks) : undefined);
}

const MAP_LEGEND = [
  { label: 'changed, the higher the more of it', text: '', fill: 'changed' },
  { label: 'zero', text: '', fill: 'zero' },
  { label: 'unchanged', text: '', fill: 'rest' },
] as const;

function mapFigure(disk: DiskReport): Html | undefined {
  const { blockMap: map, alias, sizeBytes } = disk;
  if (!map || map.cells.length === 0) return undefined;
  const { changed, zero, unchanged } = countCells(map.cells);
  const counts = `${changed} of ${map.cells.length} parts changed`;
  const label = `Map of ${alias}: ${counts}, ${zero} zero, ${unchanged} unchanged`;
  const places = [0, 0.25, 0.5, 0.75, 1].map((part) => bytesText(sizeBytes * part));
  return html`<figure><figcaption><b>${name(alias)}</b><span class="soft">${counts}, ${bytesText(map.cellBytes)} each</span></figcaption>${blockMap(map.cells, label)}<div class="axis" aria-hidden="true">${places.map((place) => html`<span>${place}</span>`)}</div></figure>
`;
}

/** Maps of all disks that have one; undefined when none has. */
export function diskMaps(disks: readonly DiskReport[]): Html | undefined {
  const figures = disks.map(mapFigure).filter((figure) => figure !== undefined);
  return figures.length > 0 ? html`${figures}${legend(MAP_LEGEND)}` : undefined;
}

export function diskIds(disks: readonly DiskReport[]): Html {
  return html`${disks.map((disk) => html`<div>${name(disk.alias)} ${id(disk.diskId)}</div>`)}`;
}
