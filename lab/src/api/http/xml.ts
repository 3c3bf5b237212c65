/**
 * Reads and writes the XML of the engine, which is its default format. wire.ts has the JSON.
 *
 * Rules (oVirt API model): `id`, `href` and `rel` are attributes. Members of a collection are
 * elements with a name of their own. Dates are ISO 8601. An absent value has no element.
 */
import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser';
import { WireList, type WireRecord, type WireValue } from './wire.ts';

const ATTRIBUTE = '@';
const ATTRIBUTES: readonly string[] = ['id', 'href', 'rel'];
const DECLARATION: XmlElement = {
  '@version': '1.0',
  '@encoding': 'UTF-8',
  '@standalone': 'yes',
};

/**
 * Names that begin with `@` are attributes, others are elements. An undefined value is left out.
 */
export interface XmlElement {
  readonly [name: string]: XmlValue;
}

export type XmlValue = string | number | boolean | XmlElement | readonly XmlValue[] | undefined;

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: ATTRIBUTE,
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
});

/** A document with one root element. */
export function buildXml(root: string, value: XmlValue): string {
  return builder.build({ '?xml': DECLARATION, [root]: value });
}

function toElement(record: WireRecord): XmlElement {
  const fields = Object.entries(record).map(([name, value]) => {
    const isAttribute = ATTRIBUTES.includes(name) && typeof value === 'string';
    return [isAttribute ? `${ATTRIBUTE}${name}` : name, toXmlValue(value)];
  });
  return Object.fromEntries(fields) as XmlElement;
}

function toXmlValue(value: WireValue): XmlValue {
  if (value instanceof Date) return value.toISOString();
  if (value instanceof WireList) return { [value.item]: value.values.map(toXmlValue) };
  if (Array.isArray(value)) return value.map(toXmlValue);
  if (typeof value === 'object') return toElement(value as WireRecord);
  return value;
}

/** An answer as XML of the engine. */
export function toXml(root: string, value: WireValue): string {
  return buildXml(root, toXmlValue(value));
}

/**
 * Parses a document. All values are texts.
 * @param options - how attributes and lists are shaped
 * @throws an Error for text that is no XML, and for a document type, which could define entities
 *   without a bound
 */
export function parseXml(
  text: string,
  options: ConstructorParameters<typeof XMLParser>[0],
): Readonly<Record<string, unknown>> {
  const isPlain = !text.includes('<!DOCTYPE') && XMLValidator.validate(text) === true;
  if (!isPlain) throw new Error('no XML, or one with a document type');
  const parser = new XMLParser({
    ignoreAttributes: false,
    parseTagValue: false,
    parseAttributeValue: false,
    ignoreDeclaration: true,
    ...options,
  });
  return parser.parse(text) as Readonly<Record<string, unknown>>;
}

/**
 * The content of the root element, with the shape that its JSON would have.
 * @throws as {@link parseXml}
 */
export function readXml(text: string): unknown {
  const [root] = Object.values(parseXml(text, { attributeNamePrefix: '' }));
  // The parser gives an element without content as an empty text.
  return root === '' ? {} : root;
}
