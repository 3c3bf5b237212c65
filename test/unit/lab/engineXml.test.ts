/** The engine's XML has the fields of its JSON, as elements and attributes. */
import { describe, expect, test } from 'vitest';
import { entity, WireList } from '../../../lab/src/api/http/wire.ts';
import { readXml, toXml } from '../../../lab/src/api/http/xml.ts';

const HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>';

describe('an answer', () => {
  test('has id, href and rel as attributes and everything else as elements', () => {
    const disk = entity({
      id: 'd1',
      path: 'disks/d1',
      fields: { name: 'a < b & "c"', sparse: true, size: 5, absent: undefined },
      links: ['statistics'],
    });

    expect(toXml('disk', disk)).toBe(
      `${HEAD}<disk id="d1" href="/ovirt-engine/api/disks/d1">` +
        '<name>a &lt; b &amp; &quot;c&quot;</name><sparse>true</sparse><size>5</size>' +
        '<link href="/ovirt-engine/api/disks/d1/statistics" rel="statistics"/></disk>',
    );
  });

  test.each([
    ['an empty collection', new WireList('disk', []), '<disks/>'],
    ['a collection', new WireList('disk', [{ id: 'a' }]), '<disks><disk id="a"/></disks>'],
    ['a date', { at: new Date(0) }, '<disks><at>1970-01-01T00:00:00.000Z</at></disks>'],
    [
      'a repeated element',
      { device: ['hd', 'cd'] },
      '<disks><device>hd</device><device>cd</device></disks>',
    ],
  ])('shows %s', (_, value, xml) => {
    expect(toXml('disks', value)).toBe(HEAD + xml);
  });
});

describe('a body', () => {
  test('is read as its JSON would be', () => {
    const xml =
      '<backup><disks><disk id="a"/><disk id="b"/></disks><description>007</description></backup>';

    expect(readXml(xml)).toEqual({
      disks: { disk: [{ id: 'a' }, { id: 'b' }] },
      description: '007',
    });
  });

  test('may be an element without content', () => {
    expect(readXml('<action/>')).toEqual({});
  });

  test('with a document type is an error, before any entity of it is expanded', () => {
    const bomb = '<!DOCTYPE a [<!ENTITY e "ha"><!ENTITY f "&e;&e;&e;">]><a>&f;</a>';

    expect(() => readXml(bomb)).toThrow('document type');
  });

  test('has texts with signs of XML as they were meant, in any number', () => {
    const text = `<a b="c">'d' & e</a>`.repeat(20_000);

    expect(readXml(toXml('vm', { data: text }))).toEqual({ data: text });
  });

  test.each(['{"a":1}', '<backup><disks></backup>', ''])(
    'that is no XML is an error (%s)',
    (text) => {
      expect(() => readXml(text)).toThrow();
    },
  );
});
