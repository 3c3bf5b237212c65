import { crc32, crc32c } from '@node-rs/crc32';
import { describe, expect, it } from 'vitest';
import {
  maxBanksOf,
  NO_PAGE,
  slotBytesOf,
  slotOffsetOf,
} from '../../../src/container/format/layout.ts';
import {
  decodeHeader,
  decodeSlot,
  encodeHeader,
  encodeSlot,
  productionHeader,
  type SnapshotSlot,
  slotReadBytes,
} from '../../../src/container/format/snapshotSlots.ts';
import { expectCode } from '../../helpers/codes.ts';

const SLOT: SnapshotSlot = {
  version: 7,
  endOfFileBytes: 2 ** 41,
  roots: {
    directoryRoot: 0,
    directoryCount: 1,
    storeRoot: 1,
    storeCount: 5,
    freeRoot: 2,
    dedupRoot: NO_PAGE,
  },
  banks: [
    { crc: 0xdeadbeef, offsetBytes: 2 ** 40, sizeBytes: 34 * 4096 },
    { crc: 1, offsetBytes: 2 ** 40 + 34 * 4096, sizeBytes: 1026 * 4096 },
  ],
};
const AT_LAST_DESCRIPTOR_BYTE = (slotFormat: number): number =>
  0x7c + 16 * maxBanksOf(slotFormat) - 1;

/** A snapshot slot as it lies in the file, padded to its page. */
function slotBytes(slotFormat: number): Buffer {
  const bytes = Buffer.alloc(slotReadBytes(slotFormat));
  encodeSlot(SLOT, slotFormat).copy(bytes);
  return bytes;
}

describe('slot geometry', () => {
  it.each([
    [0, 0x1000, 0x2000],
    [5, 0x80000, 0x81000],
    [9, 0x80000, 0x81000],
  ])('of slot format %i has its size and second place', (slotFormat, size, secondOffset) => {
    expect(slotBytesOf(slotFormat)).toBe(size);
    expect(slotOffsetOf(slotFormat, 0)).toBe(0x1000);
    expect(slotOffsetOf(slotFormat, 1)).toBe(secondOffset);
  });
});

describe('storage header', () => {
  it.each([0, 5, 9])('is kept for slot format %i', (slotFormat) => {
    const header = productionHeader(1_048_576, slotFormat);

    expect(decodeHeader(encodeHeader(header), 'x')).toEqual({ ...header, formatVersion: 13 });
  });

  it('lies as documented', () => {
    const page = encodeHeader(productionHeader(0x100000, 9));

    expect(page.toString('hex', 0, 16)).toBe('0d00000001000000030000006d643500');
    expect(page.toString('hex', 0x107, 0x110)).toBe('090000000000100003');
    expect(page.subarray(0x110).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ['not initialized', 4, 0, 'FORMAT_BAD_MAGIC'],
    ['another digest', 0x0c, 0x78, 'FORMAT_BAD_MAGIC'],
    ['a longer digest name', 8, 4, 'FORMAT_BAD_MAGIC'],
    ['a version that is too old', 0, 8, 'FORMAT_UNSUPPORTED'],
    ['a newer version', 0, 14, 'FORMAT_UNSUPPORTED'],
    ['an unknown slot format', 0x107, 4, 'FORMAT_UNSUPPORTED'],
    ['a block size that is no multiple of 512', 0x10b, 1, 'FORMAT_BOUNDS'],
    ['a block size above 8 MiB', 0x10e, 1, 'FORMAT_BOUNDS'],
    ['a cluster above 2 MiB', 0x10f, 13, 'FORMAT_BOUNDS'],
  ] as const)('is refused for %s', async (_what, offset, value, code) => {
    const page = encodeHeader(productionHeader(0x100000, 9));
    page[offset] = value;

    await expectCode(() => decodeHeader(page, 'x'), code);
  });

  it('is refused for a block size of 0', async () => {
    await expectCode(
      () => decodeHeader(encodeHeader(productionHeader(0, 9)), 'x'),
      'FORMAT_BOUNDS',
    );
  });
});

describe('snapshot slot', () => {
  it.each([0, 5, 9])('is kept for slot format %i', (slotFormat) => {
    expect(decodeSlot(slotBytes(slotFormat), slotFormat)).toEqual(SLOT);
  });

  it.each([
    [0, crc32],
    [5, crc32],
    [9, crc32c],
  ] as const)('of format %i is sealed over all descriptors by its polynomial', (format, crc) => {
    const bytes = encodeSlot(SLOT, format);

    expect(bytes.readUInt32LE(0)).toBe(crc(bytes.subarray(4)));
    expect(bytes.length).toBe(AT_LAST_DESCRIPTOR_BYTE(format) + 1);
  });

  it.each([0, 9])('of format %i is void when an unused descriptor changes', (slotFormat) => {
    const bytes = slotBytes(slotFormat);
    bytes[AT_LAST_DESCRIPTOR_BYTE(slotFormat)] = 1;

    expect(decodeSlot(bytes, slotFormat)).toBe('bad checksum');
  });

  it.each([0, 9])('of format %i ignores the padding behind its descriptors', (slotFormat) => {
    const bytes = slotBytes(slotFormat);
    bytes[AT_LAST_DESCRIPTOR_BYTE(slotFormat) + 1] = 1;

    expect(decodeSlot(bytes, slotFormat)).toEqual(SLOT);
  });

  it('is empty when it contains no snapshot', () => {
    expect(decodeSlot(Buffer.alloc(slotReadBytes(0)), 0)).toBe('empty');
  });

  it.each([
    ['another limit of banks', 0x74, 0xf7],
    ['more banks than its limit', 0x78, 0xf9],
  ])('has bad limits with %s', (_what, offset, value) => {
    const bytes = slotBytes(0);
    bytes.writeUInt32LE(value, offset);

    expect(decodeSlot(bytes, 0)).toBe('bad limits');
  });

  it.each([...Array(0x9c).keys()])('is never valid with a flipped bit in byte %i', (offset) => {
    const bytes = slotBytes(0);
    bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;

    expect(decodeSlot(bytes, 0)).toBeTypeOf('string');
  });
});
