import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { html, trusted } from '../../../src/report/page/html.ts';

describe('a template', () => {
  it('escapes what it inserts, in text and in attributes', () => {
    const name = `<b title="x" id='y'>&`;

    expect(html`<p title="${name}">${name}</p>`.text).toBe(
      '<p title="&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;&amp;">&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;&amp;</p>',
    );
  });

  it('takes templates and lists of them as they are', () => {
    const items = ['<', '>'].map((item) => html`<li>${item}</li>`);

    expect(html`<ul>${items}${trusted('<!-- -->')}</ul>`.text).toBe(
      '<ul><li>&lt;</li><li>&gt;</li><!-- --></ul>',
    );
  });

  it('inserts nothing for undefined and false, and numbers as they are', () => {
    expect(html`a${undefined}${false}${0}${''}`.text).toBe('a0');
  });

  it('shows marks that turn the direction of text, and control characters, as ?', () => {
    expect(html`${'a\u202Eb\u0000c\nd\u2066e'}`.text).toBe('a?b?c?d?e');
  });

  it('lets no text open a tag or end an attribute', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(html`${text}`.text).not.toMatch(/[<>"']/);
      }),
    );
  });
});
