/** HTML as text. What a template inserts is escaped, unless it is HTML already. */
import { printable } from '../../core/namePattern.ts';

/** HTML that needs no escaping. Only {@link html} and {@link trusted} make it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** `undefined` and `false` insert nothing. */
export type HtmlValue = Html | string | number | false | undefined | readonly HtmlValue[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for content and for quoted attributes. Control characters become `?`. */
export function escapeHtml(text: string): string {
  return printable(text).replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

function insert(value: HtmlValue): string {
  if (value === undefined || value === false) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(insert).join('');
  return escapeHtml(String(value));
}

/** Tag of a template. Attributes must be quoted. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const inserted = parts.map((part, index) => part + insert(values[index]));
  return new Html(inserted.join(''));
}

/** A text of this program that is HTML, such as its style sheet. Never data. */
export function trusted(text: string): Html {
  return new Html(text);
}
