import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { type Lz4, loadLz4, requireNativeLz4 } from '../../../src/compute/lz4Binding.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { expectCodeSync } from '../../helpers/codes.ts';

const require = createRequire(import.meta.url);

/** The binding when the native build was made for another Node. */
function withoutNative(): Lz4 {
  return loadLz4((name) => {
    if (name.endsWith('.node')) throw new Error('wrong NODE_MODULE_VERSION\nsecond line');
    return require(name) as unknown;
  });
}

const native = loadLz4();
const fallback = withoutNative();

const CONTENTS: readonly (readonly [string, Buffer])[] = [
  ['text', Buffer.alloc(70_000, 'some text that repeats itself ')],
  ['one value', Buffer.alloc(4096, 7)],
  ['half noise', Buffer.concat([noise(1, 9_000), Buffer.alloc(9_000, 'x')])],
  ['a few bytes', Buffer.from('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')],
];

function roundTrip(encoder: Lz4, decoder: Lz4, content: Buffer): Buffer {
  const stored = Buffer.alloc(content.length + 1024);
  const storedBytes = encoder.encode(content, stored);
  const plain = Buffer.alloc(content.length);
  expect(decoder.decode(stored.subarray(0, storedBytes), plain)).toBe(content.length);
  return plain;
}

describe('the native build', () => {
  // A clone without a compiler has none. The gate checks by itself that it is there.
  test('is the one that runs here', (context) => {
    if (!native.isNative) context.skip(`no native build of lz4 here: ${native.reason}`);
    expect([native.isNative, native.reason]).toEqual([true, '']);
  });

  test('passes the start-up check', (context) => {
    if (!native.isNative) context.skip(`no native build of lz4 here: ${native.reason}`);
    expect(() => requireNativeLz4(native, 'wait')).not.toThrow();
  });
});

test('a package that npm left out is no error', () => {
  const lz4 = loadLz4((name) => {
    throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' });
  });

  expect([lz4.isNative, lz4.reason]).toEqual([false, 'it is not installed, or was not built']);
  expect(roundTrip(lz4, lz4, Buffer.alloc(5000, 'text')).toString('latin1', 0, 4)).toBe('text');
});

describe('the fallback', () => {
  test('says that it is one and why, in one line', () => {
    expect([fallback.isNative, fallback.reason]).toEqual([false, 'wrong NODE_MODULE_VERSION']);
  });

  test('does not pass the start-up check', () => {
    const error = expectCodeSync(
      () => requireNativeLz4(fallback, 'leave out --strict'),
      'USAGE_CODEC_NOT_NATIVE',
    );

    expect(error.hint).toMatch(/, or leave out --strict$/);
  });
});

describe.each([
  ['native to native', native, native],
  ['native to fallback', native, fallback],
  ['fallback to native', fallback, native],
  ['fallback to fallback', fallback, fallback],
])('%s', (_title, encoder, decoder) => {
  test.each(CONTENTS)('gives %s back', (_content, content) => {
    expect(roundTrip(encoder, decoder, content).equals(content)).toBe(true);
  });
});

describe.each([
  ['native', native],
  ['fallback', fallback],
])('%s', (_title, lz4) => {
  test('returns 0 when the result does not fit', () => {
    expect(lz4.encode(noise(1, 4096), Buffer.alloc(2048))).toBe(0);
  });

  test('writes nothing behind its target', () => {
    const room = Buffer.alloc(8192, 0xee);

    lz4.encode(noise(1, 4096), room.subarray(0, 2048));

    expect(room.subarray(2048).every((byte) => byte === 0xee)).toBe(true);
  });

  test('does not report the whole length for a block that was cut off', () => {
    const content = noise(1, 4096);
    const stored = Buffer.alloc(8192);
    const storedBytes = lz4.encode(content, stored);

    const decoded = lz4.decode(stored.subarray(0, storedBytes - 100), Buffer.alloc(4096));

    expect(decoded).not.toBe(4096);
  });

  test.each([0, 16 * 1024 * 1024 + 1])('refuses to decode into %d bytes', (lengthBytes) => {
    const target = Buffer.alloc(lengthBytes);

    expectCodeSync(() => lz4.decode(Buffer.alloc(10), target), 'FORMAT_BOUNDS');
  });
});
