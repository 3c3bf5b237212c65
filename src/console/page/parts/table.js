// @ts-check
/**
 * A table whose first column names the row. A narrow screen shows its rows as cards; the roles keep
 * it a table there.
 */
import { html, useState } from '../vendor/preact.js';

/**
 * @template T
 * @typedef {object} Column
 * @property {string} label
 * @property {(row: T) => unknown} cell
 * @property {'number' | 'wide' | 'actions'} [kind] - `wide`: a line of its own in a card
 */

const FIRST_ROWS = 100;

/**
 * @template T
 * @param {object} props
 * @param {string} props.caption
 * @param {readonly (Column<T> | false)[]} props.columns
 * @param {readonly T[]} props.rows
 * @param {(row: T) => string} props.keyOf
 * @param {string} props.empty - instead of a table without rows
 */
export function Table({ caption, columns, rows, keyOf, empty }) {
  const [most, setMost] = useState(FIRST_ROWS);
  if (rows.length === 0) return html`<p class="soft">${empty}</p>`;
  const shown = columns.filter((column) => column !== false);
  const line = (/** @type {T} */ row) => html`<tr role="row" key=${keyOf(row)}>
    ${shown.map(({ label, cell, kind = '' }, index) =>
      index === 0
        ? html`<th scope="row" role="rowheader">${cell(row)}</th>`
        : html`<td role="cell" class=${kind} data-label=${label}>${cell(row)}</td>`,
    )}
  </tr>`;
  return html`
    <table role="table" class="cards">
      <caption>${caption}</caption>
      <thead role="rowgroup"><tr role="row">
        ${shown.map(({ label, kind = '' }) => html`<th scope="col" role="columnheader" class=${kind}>${kind === 'actions' ? html`<span class="sr">${label}</span>` : label}</th>`)}
      </tr></thead>
      <tbody role="rowgroup">${rows.slice(0, most).map(line)}</tbody>
    </table>
    ${rows.length > most && html`<p class="more"><button type="button" onClick=${() => setMost(rows.length)}>Show all ${rows.length}</button></p>`}
  `;
}
