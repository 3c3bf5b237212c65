/** Tables and cells that all commands share. */
import { formatDuration } from '../../core/units.ts';

/** Control characters in names from files must not reach a terminal. */
const CONTROL = /\p{Cc}/gu;

/** Pads each column to its widest cell. Cells that start with a digit are aligned to the right. */
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

/** One column: its title, and the text of its cell for a row. */
export type Column<T> = readonly [title: string, cell: (row: T) => string];

/** A table with one line per row. Padding is that of {@link formatTable}. */
export function formatRows<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const header = columns.map(([title]) => title);
  return formatTable(
    header,
    rows.map((row) => columns.map(([, cell]) => cell(row))),
  );
}

/** Human form of a duration in seconds: `950 ms`, `12.3 s`, `3 min 20 s`. */
export function formatSeconds(seconds: number): string {
  return formatDuration(seconds * 1000);
}
