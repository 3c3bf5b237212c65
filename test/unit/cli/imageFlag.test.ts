import { describe, expect, test } from 'vitest';
import { parseImage } from '../../../src/cli/flags/imageFlag.ts';

describe('the value of --image', () => {
  test.each([
    ['disk.raw', { path: 'disk.raw' }],
    ['/dev/vg/root', { path: '/dev/vg/root' }],
    ['root=disk.raw', { name: 'root', path: 'disk.raw' }],
    ['root=/dev/vg/root-2026-01-31', { name: 'root', path: '/dev/vg/root-2026-01-31' }],
    ['Disk ü 1=a', { name: 'Disk ü 1', path: 'a' }],
    ['root=a=b', { name: 'root', path: 'a=b' }],
    ['root=./a', { name: 'root', path: './a' }],
    ['./root=disk.raw', { path: './root=disk.raw' }],
    ['/mnt/a=b/disk.raw', { path: '/mnt/a=b/disk.raw' }],
    ['../a=b', { path: '../a=b' }],
    ['root=a\nb', { name: 'root', path: 'a\nb' }],
  ])('%j', (text, image) => {
    expect(parseImage(text)).toEqual(image);
  });

  test.each(['=disk.raw', 'root=', '='])('%j is refused', (text) => {
    expect(() => parseImage(text)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID_OPTION' }),
    );
  });
});

test('a text that names a file is that file', () => {
  const image = parseImage('root=disk.raw', (path) => path === 'root=disk.raw');

  expect(image).toEqual({ path: 'root=disk.raw' });
});
