import { describe, expect, it } from 'vitest';
import {
  decodeProperties,
  encodeProperties,
  type Property,
  textProperty,
} from '../../../src/container/format/properties.ts';
import { expectCode } from '../../helpers/codes.ts';

const ALL_TYPES: readonly Property[] = [
  { name: 'Number', type: 'UInt32', value: 0xffff_ffff },
  { name: 'Large', type: 'UInt64', value: 2n ** 64n - 1n },
  { name: 'Text', type: 'AString', value: 'plain ä €' },
  { name: 'Wide', type: 'WString', value: 'wide ä € 𝄞' },
  { name: 'Bytes', type: 'Binary', value: Uint8Array.of(0, 255, 1) },
  { name: 'Yes', type: 'Boolean', value: true },
  { name: 'No', type: 'Boolean', value: false },
];

function u32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

describe('property dictionary', () => {
  it('gives back every type with its value', () => {
    expect(decodeProperties(encodeProperties(ALL_TYPES))).toEqual(ALL_TYPES);
  });

  it('is only the end mark when it is empty', () => {
    expect(encodeProperties([])).toEqual(Buffer.from('ffffffff', 'hex'));
    expect(decodeProperties(Buffer.from('ffffffff', 'hex'))).toEqual([]);
  });

  it('counts a wide string in bytes', () => {
    const bytes = encodeProperties([{ name: 'W', type: 'WString', value: 'ab' }]);

    expect(bytes.toString('hex')).toBe('0400000001000000570400000061006200ffffffff');
  });

  it.each(Array.from({ length: encodeProperties(ALL_TYPES).length }, (_, length) => length))(
    'refuses a dictionary that is cut after %i bytes',
    async (length) => {
      const cut = encodeProperties(ALL_TYPES).subarray(0, length);

      await expectCode(() => decodeProperties(cut), 'FORMAT_BOUNDS');
    },
  );

  it('refuses a length that runs past the end', async () => {
    await expectCode(() => decodeProperties(u32(3, 0, 0xffff_ffff)), 'FORMAT_BOUNDS');
  });

  it.each([0, 7, 0x7fff_ffff])('refuses the unknown type %i', async (type) => {
    await expectCode(() => decodeProperties(u32(type, 0, 0, 0xffff_ffff)), 'FORMAT_STRUCTURE');
  });

  it('refuses bytes behind the end mark', async () => {
    await expectCode(() => decodeProperties(u32(0xffff_ffff, 0)), 'FORMAT_STRUCTURE');
  });
});

describe('textProperty', () => {
  it('finds a string by name', () => {
    expect(textProperty(ALL_TYPES, 'Text')).toBe('plain ä €');
  });

  it('is undefined for another type, another name and no dictionary', () => {
    expect(textProperty(ALL_TYPES, 'Number')).toBeUndefined();
    expect(textProperty(ALL_TYPES, 'Absent')).toBeUndefined();
    expect(textProperty(undefined, 'Text')).toBeUndefined();
  });
});
