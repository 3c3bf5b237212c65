/** What each compression makes of blocks. */
import { describe, expect, test } from 'vitest';
import { type BlockCodecs, createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { checkCompression, type Compression, encoderOf } from '../../../src/compute/compression.ts';
import { type Lz4, loadLz4 } from '../../../src/compute/lz4Binding.ts';
import type { StoredCodec } from '../../../src/compute/storedForm.ts';
import { roundUp } from '../../../src/core/units.ts';
import { noise, prose, wordText } from '../../helpers/bytes/random.ts';
import { expectCodeSync } from '../../helpers/codes.ts';

const CLUSTER_BYTES = 4096;
const native = loadLz4();
const kernel = loadLz4(() => {
  throw new Error('no native build');
});
/** Without the native build there is no `high`. */
const LEVELS: readonly Compression[] = native.isNative
  ? ['none', 'default', 'high']
  : ['none', 'default'];

interface Stored {
  readonly codec: StoredCodec;
  readonly bytes: Buffer;
}

function packed(codecs: BlockCodecs, content: Buffer): Stored {
  const roomBytes = roundUp(content.length, CLUSTER_BYTES);
  const source = Buffer.concat([content, Buffer.alloc(roomBytes - content.length, 0xee)]);
  const target = Buffer.alloc(roomBytes, 0xee);
  const { codec, storedBytes } = codecs.pack(source, content.length, target);
  return { codec, bytes: (codec === 'lz4' ? target : source).subarray(0, storedBytes) };
}

const CONTENTS: readonly (readonly [string, Buffer])[] = [
  ['text', wordText(1, 300_000)],
  ['one line', prose(1, 65_536)],
  ['half noise', Buffer.concat([noise(1, 50_000), wordText(2, 50_001)])],
  ['noise', noise(2, 65_536)],
  ['a few bytes', Buffer.from('short')],
];

describe.each(LEVELS)('compression %s', (compression) => {
  test.each(CONTENTS)('stores %s so that every reader gives it back', async (_title, content) => {
    const { codec, bytes } = packed(await createBlockCodecs(compression), content);

    // Readers know neither the compression nor which build wrote the block.
    for (const lz4 of [native, kernel]) {
      const plain = Buffer.alloc(content.length);
      const reader = await createBlockCodecs('default', lz4);
      expect(reader.unpack(bytes, codec, plain)).toBe(0);
      expect(plain.equals(content)).toBe(true);
    }
  });

  test('leaves noise plain', async () => {
    const { codec, bytes } = packed(await createBlockCodecs(compression), noise(3, 100_000));

    expect([codec, bytes.length]).toEqual(['plain', 100_000]);
  });
});

test('none leaves text plain, and pads it', async () => {
  const content = wordText(3, 10_000);
  const source = Buffer.concat([content, Buffer.alloc(2288, 0xee)]);

  const form = (await createBlockCodecs('none')).pack(source, 10_000, Buffer.alloc(12_288));

  expect(form).toEqual({ codec: 'plain', storedBytes: 10_000 });
  expect(source.equals(Buffer.concat([content, Buffer.alloc(2288)]))).toBe(true);
});

test.each(CONTENTS.filter(([title]) => ['text', 'half noise'].includes(title)))(
  'each compression stores fewer bytes of %s than the one before',
  async (_title, content) => {
    const sizes = [];
    for (const level of LEVELS) {
      sizes.push(packed(await createBlockCodecs(level), content).bytes.length);
    }

    expect(sizes).toEqual([...new Set(sizes)].toSorted((a, b) => b - a));
    expect(sizes).toHaveLength(LEVELS.length);
  },
);

test('high gives LZ4 HC only what LZ4 makes smaller', () => {
  const high: number[] = [];
  const encodeHigh = (source: Buffer): number => high.push(source.length);
  const lz4: Lz4 = { ...native, encodeHigh };
  const encode = encoderOf('high', lz4);

  const room = Buffer.alloc(96_000);
  const results = [noise(4, 100_000), wordText(4, 99_999)].map((source) => encode(source, room));

  expect([results, high]).toEqual([[0, 1], [99_999]]);
});

describe('the check of a session', () => {
  test.each([undefined, 'none', 'default'] as const)('takes %s with any build', (compression) => {
    expect(() => checkCompression(compression, kernel)).not.toThrow();
  });

  test('takes high with the native build', (context) => {
    if (!native.isNative) context.skip(`no native build of lz4 here: ${native.reason}`);
    expect(() => checkCompression('high', native)).not.toThrow();
  });

  test('refuses high without the native build, and says what to do', () => {
    const error = expectCodeSync(() => checkCompression('high', kernel), 'USAGE_CODEC_NOT_NATIVE');

    expect(error.message).toContain('no native build');
    expect(error.hint).toMatch(/, or use compression default$/);
  });

  test.each(['fast', '', 'High', 9, null])('refuses %j', (given) => {
    const compression = given as unknown as Compression;

    const error = expectCodeSync(
      () => checkCompression(compression, native),
      'USAGE_INVALID_OPTION',
    );

    expect(error.hint).toBe('use none, default, high');
  });
});
