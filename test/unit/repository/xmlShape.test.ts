import { describe, expect, it } from 'vitest';
import { isSafeXml } from '../../../src/repository/xmlShape.ts';

const LIMITS = { maxChars: 10_000, maxTagChars: 100 };

describe('XML that is read', () => {
  it.each([
    ['a document', '<?xml version="1.0" encoding="utf-8"?>\n<a><b x="1" y=\'2\'/>text</a>\n'],
    ['signs in quotes', `<a x="it's > 1" y='"'>it's "quoted" > that</a>`],
    ['a comment', `<a><!-- don't "mind --><b/></a>`],
    ['many short tags', `<a>${'<b/>'.repeat(2000)}</a>`],
    ['a tag as long as allowed', `<a x="${'y'.repeat(91)}"/>`],
  ])('may have %s', (_what, text) => {
    expect(isSafeXml(text, LIMITS)).toBe(true);
  });
});

describe('XML that is refused', () => {
  it.each([
    ['has a document type', '<!DOCTYPE a><a/>'],
    ['is not well-formed', '<a><b></a>'],
    ['is none', 'text'],
    ['is empty', ''],
    ['is long', `<a>${'<b/>'.repeat(3000)}</a>`],
    ['has a long attribute', `<a x="${'y'.repeat(100)}"/>`],
    ['has a long text', `<a>${'y'.repeat(100)}</a>`],
    ['has a long text before its first tag', `${' '.repeat(101)}<a/>`],
    ['has a tag that does not end', `<a x="1"`],
    ['has quotes that do not end', '<a x="1/><b y="2"/>'],
    ['has tags in quotes', `<a x="${'<b '.repeat(50)}"/>`],
  ])('%s', (_what, text) => {
    expect(isSafeXml(text, LIMITS)).toBe(false);
  });
});
