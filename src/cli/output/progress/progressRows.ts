/** Text of the progress area: one row for each VM. */
import { cut, fit, widthOf } from '../text.ts';

export interface ProgressRow {
  readonly vmName: string;
  /** The work of the session, or the reason of its wait. */
  readonly text: string;
  /** How long that lasts, for a row without a bar. It is not cut. */
  readonly time?: string;
  /** Share done, 0 to 1; `unknown` without a total. Without it the row has only its text. */
  readonly ratio?: number | 'unknown' | undefined;
  /** Texts of the figures. Empty where a figure is not known. */
  readonly done: string;
  readonly rate: string;
  readonly left: string;
}

const MIN_BAR_COLUMNS = 10;
/** A name takes at most this share of the line, and always some columns. */
const NAME_SHARE = 0.3;
const MIN_NAME_COLUMNS = 8;

type Figure = 'done' | 'rate' | 'left';

/** Figures of a row, from a wide terminal to a narrow one. */
const FIGURES: readonly (readonly Figure[])[] = [
  ['done', 'rate', 'left'],
  ['done', 'left'],
  ['left'],
  [],
];
const SEPARATOR = ' | ';
const PERCENT_COLUMNS = 5;

/** Columns of the parts of a row. They only grow, so that bars keep their length. */
export interface RowColumns {
  name: number;
  text: number;
  done: number;
  rate: number;
  left: number;
}

/** Room for the usual figures: `999.9 MiB of 999.9 GiB`, `read 999.9 MiB/s`, `59 min left`. */
export function createRowColumns(): RowColumns {
  return { name: 0, text: 0, done: 22, rate: 16, left: 11 };
}

function widest(least: number, texts: readonly string[]): number {
  return Math.max(least, ...texts.map(widthOf));
}

function grow(columns: RowColumns, rows: readonly ProgressRow[], roomColumns: number): void {
  const mostName = Math.max(MIN_NAME_COLUMNS, Math.floor(roomColumns * NAME_SHARE));
  const names = rows.map((row) => row.vmName);
  columns.name = Math.min(mostName, widest(columns.name, names));
  const measured = rows.filter((row) => row.ratio !== undefined);
  for (const part of ['text', 'done', 'rate', 'left'] as const) {
    columns[part] = widest(
      columns[part],
      measured.map((row) => row[part]),
    );
  }
}

function formatBar(ratio: number, columns: number): string {
  const full = Math.floor(ratio * columns);
  return `${'\u2588'.repeat(full)}${'\u2591'.repeat(columns - full)}`;
}

/** The part of a row after its bar. It says 100 % only when all is done. */
function formatFigures(row: ProgressRow, figures: readonly Figure[], columns: RowColumns): string {
  const percent = typeof row.ratio === 'number' ? `${Math.floor(row.ratio * 100)}%` : '';
  const texts = figures.map((figure) => row[figure].padStart(columns[figure]));
  const line = [percent.padStart(PERCENT_COLUMNS), ...texts].join(SEPARATOR);
  return line.replace(/[ |]+$/, '');
}

/**
 * Rows of fewer than `terminalColumns` characters, so that no terminal wraps them. Bars take the
 * room that the figures leave, and have one length. Figures are left out where room is short.
 *
 * @param columns - of the rows before. It is changed.
 */
export function formatRows(
  rows: readonly ProgressRow[],
  terminalColumns: number,
  columns: RowColumns = createRowColumns(),
): string[] {
  const roomColumns = Math.max(0, terminalColumns - 1);
  grow(columns, rows, terminalColumns);
  const headColumns = columns.name + 1 + columns.text + 1;
  const barRoom = (figures: readonly Figure[]): number =>
    figures.reduce(
      (room, one) => room - SEPARATOR.length - columns[one],
      roomColumns - headColumns - PERCENT_COLUMNS,
    );
  const fitting = FIGURES.find((figures) => barRoom(figures) >= MIN_BAR_COLUMNS);
  const figures = fitting ?? [];
  const barColumns = fitting ? barRoom(fitting) : 0;
  return rows.map((row) => {
    const name = fit(row.vmName, columns.name);
    if (row.ratio === undefined) {
      const time = row.time ?? '';
      return cut(cut(`${name} ${row.text}`, roomColumns - time.length) + time, roomColumns);
    }
    const head = `${name} ${fit(row.text, columns.text)} `;
    const bar = formatBar(row.ratio === 'unknown' ? 0 : row.ratio, barColumns);
    return cut(`${head}${bar}${formatFigures(row, figures, columns)}`, roomColumns);
  });
}
