/** Tables that fit the width of the terminal, and lines that all commands share. */
import { formatDuration } from '../../core/units.ts';
import { FULL_FORM, isFull, type OutputForm, paint, type Style } from './outputForm.ts';
import { cut, fold, printable, widthOf } from './text.ts';

const GAP = '  ';
/** A name is not made narrower than this, as long as other columns can be left out. */
const MIN_NAME_COLUMNS = 20;
const MIN_CUT_COLUMNS = 4;
const NOTE_INDENT = 4;
const FACT_COLUMNS = 12;
const VOID = /^(?:-|0 B(?:\/s)?)?$/;

/**
 * - `name`: cut with an ellipsis where there is no room.
 * - `extra`: left out where there is no room.
 * - `full`: only in the full form.
 * - `note`: goes to a line of its own under the row where there is no room.
 */
export type ColumnKind = 'name' | 'extra' | 'full' | 'note';

export interface ColumnOptions<T> {
  readonly kind?: ColumnKind;
  readonly style?: (row: T) => Style | undefined;
}

/** One column: its title, the text of its cell for a row, and what happens without room. */
export type Column<T> = readonly [
  title: string,
  cell: (row: T) => string,
  options?: ColumnOptions<T>,
];

interface Measured {
  readonly title: string;
  readonly kind: ColumnKind | undefined;
  readonly cells: readonly string[];
  readonly styles: readonly (Style | undefined)[];
  readonly width: number;
  readonly isNumeric: boolean;
  readonly isEmpty: boolean;
  /** All cells are empty, zero or `-`. */
  readonly isVoid: boolean;
}

interface Layout {
  readonly shown: readonly Measured[];
  readonly notes: readonly Measured[];
}

function measure<T>([title, cell, options = {}]: Column<T>, rows: readonly T[]): Measured {
  const { kind, style } = options;
  const cells = rows.map((row) => printable(cell(row)));
  const hasDigits = cells.some((text) => /^\d/.test(text));
  const isText = kind === 'name' || kind === 'note';
  return {
    title,
    kind,
    cells,
    styles: rows.map((row) => style?.(row)),
    width: Math.max(widthOf(title), ...cells.map(widthOf)),
    isNumeric: !isText && hasDigits && cells.every((text) => /^(?:\d[^:]*$|\d+:\d|-?$)/.test(text)),
    isEmpty: cells.length > 0 && cells.every((text) => text === ''),
    isVoid: cells.every((text) => VOID.test(text)),
  };
}

/** The fewest columns in which the cells of a name column stay different from each other. */
function leastNameColumns({ cells, width }: Measured): number {
  const names = [...new Set(cells)];
  let columns = Math.min(width, MIN_NAME_COLUMNS);
  while (columns < width && new Set(names.map((name) => cut(name, columns))).size < names.length)
    columns++;
  return columns;
}

function totalWidth(columns: readonly Measured[], maxNameColumns: number): number {
  const widths = columns.map(({ kind, width }) =>
    kind === 'name' ? Math.min(width, maxNameColumns) : width,
  );
  return widths.reduce((sum, width) => sum + width, 0) + GAP.length * (columns.length - 1);
}

/**
 * Chooses the columns that fit: with the notes in the table, otherwise with the notes under the
 * rows; in each case with as many extra columns as possible. Extra columns without a value are left
 * out first, as soon as a name would be cut, then the last ones.
 */
function chooseLayout(columns: readonly Measured[], roomColumns: number): Layout {
  const notes = columns.filter(({ kind }) => kind === 'note');
  if (totalWidth(columns, Infinity) <= roomColumns) return { shown: columns, notes: [] };
  const used = columns.filter(({ kind, isVoid }) => kind !== 'extra' || !isVoid);
  const extras = used.filter(({ kind }) => kind === 'extra');
  const names = used.filter(({ kind }) => kind === 'name');
  const leastColumns = Math.max(MIN_NAME_COLUMNS, ...names.map(leastNameColumns));
  let shown: readonly Measured[] = used;
  for (const below of notes.length > 0 ? [[], notes] : [[]]) {
    for (let count = extras.length; count >= 0; count--) {
      const leftOut = new Set([...below, ...extras.slice(count)]);
      shown = used.filter((column) => !leftOut.has(column));
      if (totalWidth(shown, leastColumns) <= roomColumns) return { shown, notes: below };
    }
  }
  return { shown, notes };
}

/** The most columns of a name with which the table fits. */
function nameLimit(shown: readonly Measured[], roomColumns: number): number {
  const names = shown.filter(({ kind }) => kind === 'name');
  let limit = Math.max(MIN_CUT_COLUMNS, ...names.map(({ width }) => width));
  while (limit > MIN_CUT_COLUMNS && totalWidth(shown, limit) > roomColumns) limit--;
  return limit;
}

interface Cell {
  readonly text: string;
  readonly style?: Style | undefined;
  readonly isRight?: boolean;
}

function formatCell({ text, style, isRight = false }: Cell, width: number): string {
  const padding = ' '.repeat(Math.max(0, width - widthOf(text)));
  const painted = paint(text, style, style !== undefined);
  return isRight ? `${padding}${painted}` : `${painted}${padding}`;
}

function formatNotes(notes: readonly Measured[], row: number, form: OutputForm): string[] {
  return notes.flatMap(({ title, cells }) => {
    const text = `${' '.repeat(NOTE_INDENT)}${title}: ${cells[row]}`;
    return cells[row] ? [fold(text, form.columns, NOTE_INDENT + GAP.length)] : [];
  });
}

/** The rows from `start` up to `end`, with their header. */
function formatLayout(
  { shown, notes }: Layout,
  start: number,
  end: number,
  form: OutputForm,
): string {
  const limit = nameLimit(shown, form.columns);
  const lineOf = (cellOf: (column: Measured) => Cell): string =>
    shown
      .map((column) => {
        const cell = cellOf(column);
        const width = column.kind === 'name' ? Math.min(column.width, limit) : column.width;
        const text = column.kind === 'name' ? cut(cell.text, width) : cell.text;
        return formatCell(
          { ...cell, text, style: form.isColoured ? cell.style : undefined },
          width,
        );
      })
      .join(GAP)
      .trimEnd();
  const lines = [lineOf(({ title }) => ({ text: title, style: 'bold' }))];
  for (let row = start; row < end; row++) {
    const line = lineOf(({ cells, styles, isNumeric }) => ({
      text: cells[row] ?? '',
      style: styles[row],
      isRight: isNumeric,
    }));
    lines.push(line, ...formatNotes(notes, row, form));
  }
  return lines.join('\n');
}

/**
 * A table with one line per row, in the width of `form`. Each column is padded to its widest cell;
 * columns of numbers are aligned to the right. Only the full form has columns without any text.
 */
export function formatRows<T>(
  columns: readonly Column<T>[],
  rows: readonly T[],
  form: OutputForm = FULL_FORM,
): string {
  return formatTables(columns, [rows], form)[0] ?? '';
}

/** As {@link formatRows}, for several tables of one output: all have the same columns. */
export function formatTables<T>(
  columns: readonly Column<T>[],
  tables: readonly (readonly T[])[],
  form: OutputForm = FULL_FORM,
): string[] {
  const rows = tables.flat();
  const wanted = columns.filter(([, , options]) => options?.kind !== 'full' || isFull(form));
  const measured = wanted
    .map((column) => measure(column, rows))
    .filter(({ isEmpty }) => !isEmpty || isFull(form));
  const layout = chooseLayout(measured, form.columns);
  let start = 0;
  return tables.map((table) => {
    const end = start + table.length;
    const text = formatLayout(layout, start, end, form);
    start = end;
    return text;
  });
}

/**
 * A table of texts.
 *
 * @param kinds - kinds of columns by their titles.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  form: OutputForm = FULL_FORM,
  kinds: Readonly<Record<string, ColumnKind>> = {},
): string {
  const columns = header.map((title, column): Column<readonly string[]> => {
    const kind = kinds[title];
    return [title, (row) => row[column] ?? '', kind === undefined ? {} : { kind }];
  });
  return formatRows(columns, rows, form);
}

/** A line `label   text`. A long text goes on under its beginning. */
export function formatFact(label: string, text: string, form: OutputForm): string {
  return fold(`${label.padEnd(FACT_COLUMNS)}${printable(text)}`, form.columns, FACT_COLUMNS);
}

/** A line of prose. */
export function formatLine(text: string, form: OutputForm, indent = 0): string {
  return fold(printable(text), form.columns, indent);
}

/** Human form of a duration in seconds: `950 ms`, `12.3 s`, `3 min 20 s`. */
export function formatSeconds(seconds: number): string {
  return formatDuration(seconds * 1000);
}
