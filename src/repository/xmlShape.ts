/**
 * Checks XML of unknown origin before it is parsed. fast-xml-parser needs about 35 bytes of memory
 * for each character of a text or an attribute. For a tag with many attributes it needs about 100
 * (measured with version 5.12, texts of 1 MiB). It also expands entities of a document type.
 */
import { XMLValidator } from 'fast-xml-parser';

export interface XmlLimits {
  readonly maxChars: number;
  /** Most characters of one tag together with the text after it. */
  readonly maxTagChars: number;
}

/** One tag with closed quotes, or one comment, and the text up to the next one. */
const PIECE = /^<(?:!--[^<]*|(?:[^"'<>]|"[^"]*"|'[^']*')*>[^<]*)$/;

function isModest(text: string, { maxChars, maxTagChars }: XmlLimits): boolean {
  if (text.length > maxChars) return false;
  let at = text.indexOf('<');
  if (at > maxTagChars) return false;
  while (at >= 0) {
    const next = text.indexOf('<', at + 1);
    const end = next < 0 ? text.length : next;
    if (end - at > maxTagChars || !PIECE.test(text.slice(at, end))) return false;
    at = next;
  }
  return true;
}

/** True when `text` is well-formed XML within the limits, without a document type. */
export function isSafeXml(text: string, limits: XmlLimits): boolean {
  if (text.includes('<!DOCTYPE') || !isModest(text, limits)) return false;
  return XMLValidator.validate(text) === true;
}
