/** The LZ4 kernel against a plain decoder, hostile input and the tool `lz4`. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { WasmLz4 } from '../../../src/compute/kernels/wasmLz4.ts';
import { createRandom, noise } from '../../helpers/bytes/random.ts';

const MIB = 1024 * 1024;
const DAMAGED = -1;
const kernel = new WasmLz4();

interface Cursor {
  at: number;
}

/** A length of the block format. -1 when the block ends in it. */
function lengthOf(nibble: number, source: Buffer, cursor: Cursor): number {
  let length = nibble;
  for (let byte = nibble === 15 ? 255 : 0; byte === 255; length += byte) {
    if (cursor.at >= source.length) return -1;
    byte = source[cursor.at++] ?? 0;
  }
  return length;
}

/** The block format byte by byte. Returns the content, or nothing for a damaged block. */
function plainDecode(source: Buffer, roomBytes: number): Buffer | undefined {
  const out: number[] = [];
  const cursor = { at: 0 };
  while (cursor.at < source.length) {
    const token = source[cursor.at++] ?? 0;
    const literals = lengthOf(token >> 4, source, cursor);
    if (literals < 0 || cursor.at + literals > source.length) return undefined;
    if (out.length + literals > roomBytes) return undefined;
    out.push(...source.subarray(cursor.at, cursor.at + literals));
    cursor.at += literals;
    if (cursor.at === source.length) return Buffer.from(out);
    if (cursor.at + 2 > source.length) return undefined;
    const distance = source.readUInt16LE(cursor.at);
    cursor.at += 2;
    const match = lengthOf(token & 15, source, cursor);
    if (match < 0 || distance === 0 || distance > out.length) return undefined;
    if (out.length + match + 4 > roomBytes) return undefined;
    for (let k = 0; k < match + 4; k++) out.push(out[out.length - distance] ?? 0);
  }
  return undefined;
}

function expectAsPlain(source: Buffer, roomBytes: number): void {
  const guardBytes = 64;
  const room = Buffer.alloc(roomBytes + guardBytes, 0xee);
  const expected = plainDecode(source, roomBytes);

  const written = kernel.decode(source, room.subarray(0, roomBytes));

  expect(written).toBe(expected?.length ?? DAMAGED);
  if (expected) expect(room.subarray(0, written).equals(expected)).toBe(true);
  expect(room.subarray(roomBytes).every((byte) => byte === 0xee)).toBe(true);
}

function packed(content: Buffer): Buffer {
  const target = Buffer.alloc(content.length + 1024 + Math.ceil(content.length / 255));
  return target.subarray(0, kernel.encode(content, target));
}

function unpacked(block: Buffer, lengthBytes: number): Buffer {
  const target = Buffer.alloc(lengthBytes);
  expect(kernel.decode(block, target)).toBe(lengthBytes);
  return target;
}

/** Content with repeats at all distances, some shorter than the 16 bytes of a copy. */
function repetitive(seed: number, lengthBytes: number): Buffer {
  const random = createRandom(seed);
  const parts: Buffer[] = [];
  for (let bytes = 0; bytes < lengthBytes; ) {
    const pattern = random.bytes(1 + random.below(24));
    const part = Buffer.alloc(1 + random.below(600), pattern);
    parts.push(part);
    bytes += part.length;
  }
  return Buffer.concat(parts).subarray(0, lengthBytes);
}

describe('a block', () => {
  it.each(Array.from({ length: 70 }, (_, lengthBytes) => lengthBytes + 1))(
    'of %d bytes comes back',
    (lengthBytes) => {
      for (const content of [Buffer.alloc(lengthBytes, 'ab'), noise(lengthBytes, lengthBytes)]) {
        expect(unpacked(packed(content), lengthBytes).equals(content)).toBe(true);
      }
    },
  );

  it('of repeats at all distances comes back, also by the plain decoder', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const content = repetitive(seed, 3000 + seed);
      const block = packed(content);

      expect(block.length).toBeLessThan(content.length);
      expect(unpacked(block, content.length).equals(content)).toBe(true);
      expect(plainDecode(block, content.length)?.equals(content)).toBe(true);
    }
  });

  it('of any bytes comes back', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1 }), (parts) => {
        const content = Buffer.concat([...parts, ...parts, Buffer.from([1])]);
        expect(unpacked(packed(content), content.length).equals(content)).toBe(true);
      }),
    );
  });

  it('of 16 MiB comes back', () => {
    const half = noise(1, 8 * MIB);
    const content = Buffer.concat([half.subarray(0, 7 * MIB), Buffer.alloc(MIB, 'text'), half]);

    expect(unpacked(packed(content), 16 * MIB).equals(content)).toBe(true);
  });

  const hasTool = spawnSync('lz4', ['--version']).status === 0;
  it.runIf(hasTool)('is one that the tool lz4 reads', () => {
    const content = Buffer.concat([repetitive(5, 2 * MIB), noise(2, 70_000)]);
    const block = packed(content);
    const header = Buffer.alloc(8);
    // The legacy frame of lz4: magic number, length of the block, block.
    header.writeUInt32LE(0x184c2102, 0);
    header.writeUInt32LE(block.length, 4);

    const output = execFileSync('lz4', ['-dc'], {
      input: Buffer.concat([header, block]),
      maxBuffer: 8 * MIB,
    });

    expect(output.equals(content)).toBe(true);
  });
});

test('an encoder with little room writes nothing outside it', () => {
  const random = createRandom(3);
  for (let seed = 1; seed <= 200; seed++) {
    const content = repetitive(seed, 1 + random.below(4000));
    const roomBytes = random.below(Math.min(content.length, 900));
    const room = Buffer.alloc(roomBytes + 64, 0xee);

    const written = kernel.encode(content, room.subarray(0, roomBytes));

    expect(written).toBeLessThanOrEqual(roomBytes);
    expect(room.subarray(roomBytes).every((byte) => byte === 0xee)).toBe(true);
    if (written === 0) continue;
    expect(unpacked(room.subarray(0, written), content.length).equals(content)).toBe(true);
  }
});

describe('a damaged block', () => {
  it('of random bytes is decoded as the format says, or refused', () => {
    const random = createRandom(7);
    for (let round = 0; round < 5000; round++) {
      expectAsPlain(random.bytes(1 + random.below(80)), 1 + random.below(400));
    }
  });

  it('with changed bytes is decoded as the format says, or refused', () => {
    const random = createRandom(8);
    for (let round = 0; round < 2000; round++) {
      const content = repetitive(round + 1, 1 + random.below(2000));
      const block = Buffer.from(packed(content));
      for (let k = random.below(4); k >= 0; k--) {
        block[random.below(block.length)] = random.below(256);
      }
      expectAsPlain(block, content.length);
    }
  });

  it('that was cut off is refused at every length', () => {
    const block = packed(repetitive(4, 2000));
    for (let bytes = 0; bytes < block.length; bytes++) {
      expectAsPlain(block.subarray(0, bytes), 2000);
    }
  });

  it.each([
    ['literals', Buffer.alloc(64 * 1024, 0xff)],
    ['a match', Buffer.concat([Buffer.from([0x1f, 1, 1, 0]), Buffer.alloc(64 * 1024, 0xff)])],
  ])('whose length of %s is endless is refused', (_title, block) => {
    expect(kernel.decode(block, Buffer.alloc(MIB))).toBe(DAMAGED);
  });

  it('costs no memory', () => {
    const fresh = new WasmLz4();
    fresh.decode(Buffer.alloc(1000, 0xff), Buffer.alloc(MIB));
    const before = process.memoryUsage().external;
    for (let round = 0; round < 500; round++) {
      fresh.decode(Buffer.alloc(1000, 0xff), Buffer.alloc(1000));
    }

    expect(process.memoryUsage().external - before).toBeLessThan(MIB);
  });
});
