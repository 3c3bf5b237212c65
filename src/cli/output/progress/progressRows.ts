/** Text of the progress area: one row for each VM. */
import { cut, fit, widthOf } from '../text.ts';

export interface ProgressRow {
  readonly vmName: string;
  /** What the session does or waits for. */
  readonly text: string;
  /** How long that lasts, for a row without a bar. It is not cut. */
  readonly time?: string;
  /** Share done, 0 to 1. Without it the row has only its text. */
  readonly ratio?: number | undefined;
  /** Texts of the figures. Empty where a figure is not known. */
  readonly done: string;
  readonly rate: string;
  readonly left: string;
}

const MIN_BAR_COLUMNS = 5;
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
/** Columns that are kept for a figure. Otherwise the bar would change its length all the time. */
const KEPT_COLUMNS: Readonly<Record<Figure, number>> = { done: 20, rate: 16, left: 9 };
const SEPARATOR = ' | ';
const PERCENT_COLUMNS = 5;

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map(widthOf));
}

function formatBar(ratio: number, columns: number): string {
  const full = Math.floor(ratio * columns);
  return `${'\u2588'.repeat(full)}${'\u2591'.repeat(columns - full)}`;
}

/** The part of a row after its bar. It says 100 % only when all is done. */
function formatFigures(ratio: number, figures: readonly string[]): string {
  const percent = `${Math.floor(ratio * 100)}%`.padStart(PERCENT_COLUMNS);
  return [percent, ...figures.filter((figure) => figure !== '')].join(SEPARATOR);
}

/**
 * Rows of fewer than `columns` characters, so that no terminal wraps them. Bars take the room that
 * the figures leave, and have one length. Figures are left out where there is little room.
 */
export function formatRows(rows: readonly ProgressRow[], columns: number): string[] {
  const roomColumns = Math.max(0, columns - 1);
  const mostName = Math.max(MIN_NAME_COLUMNS, Math.floor(columns * NAME_SHARE));
  const nameColumns = Math.min(mostName, widest(rows.map((row) => row.vmName)));
  const measured = rows.filter((row) => row.ratio !== undefined);
  const textColumns = widest(measured.map((row) => row.text));
  const headColumns = nameColumns + 1 + textColumns + 1;
  const figureColumns = (figure: Figure): number =>
    SEPARATOR.length + Math.max(KEPT_COLUMNS[figure], widest(measured.map((row) => row[figure])));
  const barRoom = (figures: readonly Figure[]): number =>
    figures.reduce((room, one) => room - figureColumns(one), roomColumns - headColumns) -
    PERCENT_COLUMNS;
  const fitting = FIGURES.find((figures) => barRoom(figures) >= MIN_BAR_COLUMNS);
  const figures = fitting ?? [];
  const barColumns = fitting ? barRoom(fitting) : 0;
  return rows.map((row) => {
    const name = fit(row.vmName, nameColumns);
    if (row.ratio === undefined) {
      const time = row.time ?? '';
      return cut(cut(`${name} ${row.text}`, roomColumns - time.length) + time, roomColumns);
    }
    const head = `${name} ${fit(row.text, textColumns)} `;
    const bar = formatBar(row.ratio, barColumns);
    const texts = figures.map((figure) => row[figure]);
    return cut(`${head}${bar}${formatFigures(row.ratio, texts)}`, roomColumns);
  });
}
