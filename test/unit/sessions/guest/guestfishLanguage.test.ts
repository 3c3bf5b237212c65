/** What is sent to guestfish, and what it prints. */
import { describe, expect, it } from 'vitest';
import {
  bytesOf,
  listsOf,
  parseStats,
  quoted,
  quotedList,
  textOf,
} from '../../../../src/sessions/guest/guestfishLanguage.ts';

describe('an argument', () => {
  it.each([
    ['/etc/a b', '"/etc/a b"'],
    ['a"b\\c', String.raw`"a\x22b\x5cc"`],
    ['a\nb\t', String.raw`"a\x0ab\x09"`],
    ['| cat; $(x) `y`', '"| cat; $(x) `y`"'],
  ])('is quoted: %j', (text, expected) => {
    expect(quoted(text)).toBe(expected);
  });

  it('keeps the bytes of a name', () => {
    expect(textOf(bytesOf('größe'))).toBe('größe');
    expect(quoted(bytesOf('ö'))).toBe('"\u00C3\u00B6"');
  });

  it('that is a list has its names in single quotes', () => {
    expect(quotedList(['a b', "it's"])).toBe(String.raw`"'a b' 'it'\x5c''s'"`);
    expect(quotedList(['unix:/a b'], 'server')).toBe(`"server:'unix:/a b'"`);
  });
});

describe('lists', () => {
  it('hold all names in order, and are as long as allowed', () => {
    const names = Array.from({ length: 100 }, (_value, k) => `${k}"`.repeat(1 + (k % 7)));

    const lists = [...listsOf(names, 120)];

    expect(lists.flat()).toEqual(names);
    expect(lists.length).toBeGreaterThan(5);
    for (const list of lists) expect(quotedList(list).length).toBeLessThanOrEqual(120);
  });

  it('hold a name alone that is longer', () => {
    expect([...listsOf(['a'.repeat(50), 'b'], 20)]).toEqual([['a'.repeat(50)], ['b']]);
  });
});

describe('structs', () => {
  it.each([
    [0o100644, 'file', 0o644],
    [0o040755, 'folder', 0o755],
    [0o120777, 'link', 0o777],
    [0o020600, 'special', 0o600],
  ])('of mode %d are a %s', (mode, kind, permissions) => {
    const [stat] = parseStats(struct(7, mode, 5));

    const modifiedAt = '2001-09-09T01:46:40.000Z';
    expect(stat).toEqual({ kind, mode: permissions, sizeBytes: 5, modifiedAt });
  });

  it('of files that are gone are undefined', () => {
    const stats = parseStats(struct(-1, 0, 0) + struct(3, 0o100600, 1));

    expect(stats).toMatchObject([undefined, { kind: 'file' }]);
  });
});

function struct(ino: number, mode: number, size: number): string {
  const times = 'st_mtime_sec: 1000000000\n  st_mtime_nsec: 5';
  return `[0] = {\n  st_dev: 1\n  st_ino: ${ino}\n  st_mode: ${mode}\n  st_size: ${size}\n  ${times}\n}\n`;
}
