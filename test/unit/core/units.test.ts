import { describe, expect, test } from 'vitest';
import {
  blockCountOf,
  blockLengthAt,
  formatBytes,
  formatDuration,
  GIB,
  KIB,
  MIB,
  parseBytes,
  roundUp,
  TIB,
} from '../../../src/core/units.ts';
import { expectCodeSync } from '../../helpers/codes.ts';

describe('parseBytes', () => {
  test.each([
    ['65536', 65_536],
    ['0', 0],
    ['7b', 7],
    ['512k', 512 * KIB],
    ['512KiB', 512 * KIB],
    ['1MiB', MIB],
    [' 2 gib ', 2 * GIB],
    ['3T', 3 * TIB],
  ])('reads "%s" as %d bytes', (text, bytes) => {
    expect(parseBytes(text, 'size')).toBe(bytes);
  });

  test.each([
    '',
    'MiB',
    '-1',
    '1.5MiB',
    '1MB',
    '0x10',
    '1 MiB 2',
    '9007199254740993',
    '1constructor',
  ])('refuses "%s"', (text) => {
    expectCodeSync(() => parseBytes(text, 'size'), 'USAGE_INVALID_OPTION');
  });

  test('names the option that it refuses', () => {
    const error = expectCodeSync(() => parseBytes('much', '--slab'), 'USAGE_INVALID_OPTION');

    expect(error.message).toContain('--slab');
  });
});

describe('blocks of a disk', () => {
  test('counts a short last block as a block', () => {
    expect(blockCountOf(2 * MIB + 1, MIB)).toBe(3);
  });

  test('gives the last block the rest of the disk', () => {
    expect(blockLengthAt(2, 2 * MIB + 512, MIB)).toBe(512);
  });

  test('gives a block beyond the disk no length', () => {
    expect(blockLengthAt(3, 2 * MIB, MIB)).toBe(0);
  });

  test('stays exact beyond 32 bits', () => {
    expect(roundUp(6 * TIB + 1, 4096)).toBe(6 * TIB + 4096);
  });
});

describe('text for people', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [10 * MIB + MIB / 2, '10.5 MiB'],
    [3 * TIB, '3.00 TiB'],
    [-2 * KIB, '-2.00 KiB'],
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test.each([
    [950, '950 ms'],
    [12_300, '12.3 s'],
    [200_000, '3 min 20 s'],
    [61_000, '1 min 01 s'],
    [7_500_000, '2 h 05 min'],
  ])('writes %d ms as %s', (durationMs, text) => {
    expect(formatDuration(durationMs)).toBe(text);
  });

  test('moves on to the next unit when rounding reaches it', () => {
    expect([formatBytes(MIB - 1), formatDuration(59_990)]).toEqual(['1.00 MiB', '1 min 00 s']);
  });
});
