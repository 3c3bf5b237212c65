/**
 * The XML of the engine, its default format: what engineWire.ts is to JSON, for answers and bodies.
 *
 * Rules (oVirt API model): `id`, `href` and `rel` are attributes, members of a collection are elements of their own
 * name below it, dates are ISO 8601, an absent value has no element.
 */
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { WireEntity, WireList, type WireRecord, type WireValue } from './wire.ts';

const ATTRIBUTES: readonly string[] = ['id', 'href', 'rel'];
const DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>';

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function wrap(name: string, attributes: string, content: string): string {
  const head = `<${name}${attributes}`;
  return content === '' ? `${head}/>` : `${head}>${content}</${name}>`;
}

function recordToXml(name: string, record: WireRecord): string {
  let attributes = '';
  let content = '';
  for (const [field, value] of Object.entries(record)) {
    const isAttribute = ATTRIBUTES.includes(field) && typeof value === 'string';
    if (isAttribute) attributes += ` ${field}="${escape(value)}"`;
    else content += toElements(field, value);
  }
  return wrap(name, attributes, content);
}

function toElements(name: string, value: WireValue): string {
  if (value === undefined) return '';
  if (value instanceof Date) return wrap(name, '', value.toISOString());
  if (value instanceof WireList) {
    return wrap(name, '', value.values.map((one) => toElements(value.item, one)).join(''));
  }
  if (value instanceof WireEntity) return recordToXml(name, value.fields);
  if (Array.isArray(value)) return value.map((one: WireValue) => toElements(name, one)).join('');
  if (typeof value === 'object') return recordToXml(name, value as WireRecord);
  return wrap(name, '', escape(String(value)));
}

/** A value as the XML of the engine has it. */
export function toXml(root: string, value: WireValue): string {
  return `${DECLARATION}${toElements(root, value)}`;
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  parseAttributeValue: false,
  ignoreDeclaration: true,
});

/** The content of the root element, shaped as its JSON would be. @throws an Error when it is no XML */
export function readXml(text: string): unknown {
  if (XMLValidator.validate(text) !== true) throw new Error('no XML');
  const [root] = Object.values(parser.parse(text) as object) as unknown[];
  // An element without content is an empty text to the parser.
  return root === '' ? {} : root;
}
