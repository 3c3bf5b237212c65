/** Parts that pages share: badges, tiles, tables, messages, lists of facts. */
import type { MessageLevel, SessionMessage } from '../../core/messages.ts';
import { html, type Html, type HtmlValue } from './html.ts';
import { SIGNS } from './style.ts';
import { adviceText, type Outcome, OUTCOME_WORDS, type Problem, timeText } from '../words.ts';

const LEVEL_KIND: Readonly<Record<MessageLevel, Outcome | 'info'>> = {
  error: 'failure',
  warn: 'warning',
  info: 'info',
};
const LEVEL_WORDS: Readonly<Record<MessageLevel, string>> = {
  error: 'error',
  warn: 'warning',
  info: 'note',
};

function sign(kind: Outcome | 'info'): Html {
  return html`<svg viewBox="0 0 12 12" aria-hidden="true"><path d="${SIGNS[kind]}" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
}

export function badge(outcome: Outcome, text: string = OUTCOME_WORDS[outcome]): Html {
  return html`<span class="badge ${outcome}">${sign(outcome)}${text}</span>`;
}

/** Name from an engine or a file. Its direction of writing stays inside. */
export function name(text: string): Html {
  return html`<bdi>${text}</bdi>`;
}

export function time(iso: string): Html {
  return html`<time datetime="${iso}">${timeText(iso)}</time>`;
}

export function id(text: string): Html {
  return html`<code>${text}</code>`;
}

/** What is at the top of the page of a session. */
export function header(session: {
  readonly type: string;
  readonly vmName: string;
  readonly startedAt: string;
  readonly outcome: Outcome;
  readonly lead: string;
}): Html {
  const { type, vmName, startedAt, outcome, lead } = session;
  return html`<header><p class="kicker">Session: ${type}, ${time(startedAt)}</p><div class="name"><h1>${name(vmName)}</h1>${badge(outcome)}</div><p class="lead">${lead}</p></header>
`;
}

/** A part of a page with a title. @param intro - one sentence that tells how to read it. */
export function section(title: string, body: HtmlValue, intro?: string, kind = ''): Html {
  return html`<section class="${kind}"><h2>${title}</h2>${
    intro ? html`<p class="intro">${intro}</p>` : undefined
  }${body}</section>
`;
}

export type Tile = readonly [label: string, value: HtmlValue, note?: HtmlValue];

export function tiles(all: readonly Tile[]): Html {
  const parts = all.map(
    ([label, value, note]) =>
      html`<div class="tile"><dt>${label}</dt><dd class="num">${value}${
        note === undefined ? undefined : html`<small>${note}</small>`
      }</dd></div>`,
  );
  return html`<dl class="tiles">${parts}</dl>
`;
}

export type Fact = readonly [label: string, value: HtmlValue];

/** Facts without a value are left out. */
export function factList(facts: readonly Fact[]): Html {
  const shown = facts.filter(([, value]) => value !== undefined && value !== false && value !== '');
  return html`<dl class="facts">${shown.map(([label, value]) => html`<dt>${label}</dt><dd>${value}</dd>`)}</dl>`;
}

export interface TableColumn<T> {
  readonly label: string;
  readonly cell: (row: T) => HtmlValue;
  /**
   * `number`: to the right. `wide`: a line of its own on a narrow screen. `mark`: beside the name
   * there.
   */
  readonly kind?: 'number' | 'wide' | 'mark' | undefined;
}

function cellOf<T>(column: TableColumn<T>, row: T, isFirst: boolean): Html {
  const { label, cell, kind } = column;
  const value = cell(row);
  if (isFirst) return html`<th scope="row" role="rowheader">${value}</th>`;
  const isEmpty = value === undefined || value === false || value === '';
  const names = [kind === 'number' ? 'num' : (kind ?? ''), isEmpty ? 'none' : ''];
  const classes = names.filter((text) => text !== '').join(' ');
  return html`<td role="cell"${classes && html` class="${classes}"`} data-label="${label}">${value}</td>`;
}

/**
 * A table whose first column names the row. The roles keep it a table where a narrow screen shows
 * it as cards.
 *
 * @param total - last row, with the sums.
 */
export function table<T>(
  caption: string,
  columns: readonly TableColumn<T>[],
  rows: readonly T[],
  total?: T,
): Html {
  const heads = columns.map(
    ({ label, kind }) =>
      html`<th scope="col" role="columnheader"${kind === 'number' && html` class="num"`}>${label}</th>`,
  );
  const line = (row: T): Html =>
    html`<tr role="row">${columns.map((column, index) => cellOf(column, row, index === 0))}</tr>
`;
  return html`<table role="table"><caption>${caption}</caption><thead role="rowgroup"><tr role="row">${heads}</tr></thead>
<tbody role="rowgroup">${rows.map(line)}</tbody>${
    total === undefined ? undefined : html`<tfoot role="rowgroup">${line(total)}</tfoot>`
  }</table>`;
}

function advice(hint: string): Html | undefined {
  const text = adviceText(hint);
  return text === '' ? undefined : html`<p><b>What to do:</b> ${text}</p>`;
}

export function messageList(messages: readonly SessionMessage[]): Html {
  const items = messages.map(({ level, code, text, resolution }) => {
    const kind = LEVEL_KIND[level];
    return html`<li class="note is-${kind}"><p class="head"><span class="badge ${kind}">${sign(kind)}${LEVEL_WORDS[level]}</span>${id(code)}</p><p>${text}</p>${advice(resolution)}</li>
`;
  });
  return html`<ul class="notes">${items}</ul>`;
}

function problemBody({ code, text, hint }: Problem, withCode: boolean): Html {
  const mark = withCode && code !== '' && html`${id(code)} `;
  return html`<div class="item">${(mark || text !== '') && html`<p>${mark}${text}</p>`}${advice(hint)}</div>`;
}

/**
 * @param head - what has the problems.
 * @param problems - at least one. The code of a single one is beside the head.
 */
export function problemNote(
  head: HtmlValue,
  problems: readonly Problem[],
  outcome: Outcome,
  after?: HtmlValue,
): Html {
  const single = problems.length === 1 ? problems[0]?.code : undefined;
  const isMany = single === undefined;
  return html`<li class="note is-${outcome === 'warning' ? 'warning' : 'failure'}"><p class="head">${head}${badge(outcome)}${
    single && id(single)
  }</p>${problems.map((problem) => problemBody(problem, isMany))}${after}</li>
`;
}
