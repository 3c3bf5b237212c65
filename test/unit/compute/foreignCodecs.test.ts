/** Codecs of blocks that others stored: zlib, and zstd by both decoders. */
import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { inflateInto } from '../../../src/compute/codecs/inflate.ts';
import { chooseZstd, expandZstd, loadZstd } from '../../../src/compute/codecs/zstd.ts';
import { zstdFrameBytes } from '../../../src/compute/codecs/zstdFrame.ts';
import {
  UNPACK_BAD_LENGTH,
  UNPACK_BAD_STREAM,
  UNPACK_OK,
} from '../../../src/compute/storedForm.ts';
import { FRAME_SEEDS, plainOf, zstdFrame } from '../../helpers/bytes/foreignChains.ts';
import { createRandom, wordText } from '../../helpers/bytes/random.ts';
import { expectCode } from '../../helpers/codes.ts';

const PLAIN = wordText(20, 70_000);
const BIG_FRAME = readFileSync(new URL('../../../fixtures/foreign/zstd/big.zst', import.meta.url));
const BIG_PLAIN = Buffer.concat(Array.from({ length: 16 }, () => wordText(7, 16_384)));

/** The slots of a session are shared memory. */
function shared(bytes: Buffer): Buffer {
  const copy = Buffer.from(new SharedArrayBuffer(bytes.length));
  bytes.copy(copy);
  return copy;
}

function ownDecoder(): Buffer {
  return Buffer.from('own');
}

function unreachableLoad(): never {
  return expect.unreachable('the package was loaded');
}

async function failingLoad(): Promise<never> {
  throw new Error('Cannot find package');
}

describe('zlib', () => {
  const stream = deflateSync(PLAIN);

  it.each([
    ['exact', stream],
    ['with padding after the end', Buffer.concat([stream, Buffer.alloc(500, 0x78)])],
    ['of low level', deflateSync(PLAIN, { level: 1 })],
    ['that is stored inside', deflateSync(PLAIN, { level: 0 })],
  ])('is expanded: %s', (_name, bytes) => {
    const target = shared(Buffer.alloc(PLAIN.length));

    expect(inflateInto(shared(bytes), target)).toBe(UNPACK_OK);
    expect(target.equals(PLAIN)).toBe(true);
  });

  it.each([
    ['longer than its length', stream, PLAIN.length - 1, UNPACK_BAD_LENGTH],
    ['shorter than its length', stream, PLAIN.length + 1, UNPACK_BAD_LENGTH],
    ['much longer', deflateSync(Buffer.alloc(50_000_000)), 4096, UNPACK_BAD_LENGTH],
    ['cut', stream.subarray(0, -20), PLAIN.length, UNPACK_BAD_STREAM],
    ['without its checksum', stream.subarray(0, -4), PLAIN.length, UNPACK_BAD_STREAM],
    ['empty', Buffer.alloc(0), PLAIN.length, UNPACK_BAD_STREAM],
    ['no stream', Buffer.alloc(100, 7), PLAIN.length, UNPACK_BAD_STREAM],
  ])('is refused: %s', (_name, bytes, length, status) => {
    expect(inflateInto(bytes, Buffer.alloc(length))).toBe(status);
  });
});

describe('zstd', () => {
  beforeAll(loadZstd);

  it.each([...FRAME_SEEDS])('expands frame %i of the command line tool', (seed) => {
    const padded = shared(Buffer.concat([zstdFrame(seed), Buffer.alloc(333, 0x28)]));
    const target = shared(Buffer.alloc(plainOf(seed).length));

    expect(expandZstd(padded, target)).toBe(UNPACK_OK);
    expect(target.equals(plainOf(seed))).toBe(true);
  });

  it('expands matches over a large distance', () => {
    const target = Buffer.alloc(BIG_PLAIN.length);

    expect(expandZstd(BIG_FRAME, target)).toBe(UNPACK_OK);
    expect(target.equals(BIG_PLAIN)).toBe(true);
  });

  it('expands a frame of blocks that are not compressed', () => {
    const frame = Buffer.concat([
      // No content size, a window of 4 KiB; a raw block of 3 bytes, then "x" 5 times.
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x10]),
      Buffer.from([3 << 3, 0, 0, 0x61, 0x62, 0x63]),
      Buffer.from([(5 << 3) | 3, 0, 0, 0x78]),
    ]);
    const target = Buffer.alloc(8);

    expect(expandZstd(frame, target)).toBe(UNPACK_OK);
    expect(target.toString()).toBe('abcxxxxx');
  });

  it.each([
    // The content size is told, so the header alone shows it.
    ['longer than told', zstdFrame(1), 4095, UNPACK_BAD_STREAM],
    // The content size is not told.
    ['longer', zstdFrame(4), 4095, undefined],
    ['shorter', zstdFrame(4), 4097, UNPACK_BAD_LENGTH],
    ['cut', zstdFrame(1).subarray(0, -5), 4096, UNPACK_BAD_STREAM],
    ['without its checksum', zstdFrame(4).subarray(0, -4), 4096, UNPACK_BAD_STREAM],
    ['empty', Buffer.alloc(0), 4096, UNPACK_BAD_STREAM],
    ['no frame', Buffer.alloc(100, 7), 4096, UNPACK_BAD_STREAM],
  ])('is refused: %s', (_name, frame, length, status) => {
    const actual = expandZstd(frame, Buffer.alloc(length));

    expect(actual).not.toBe(UNPACK_OK);
    expect(status === undefined || actual === status).toBe(true);
  });

  it.each([
    ['a window of 128 MiB', 5, 17 << 3],
    ['a dictionary', 4, 1],
    ['a reserved bit', 4, 8],
  ])('frames with %s are refused before a decoder sees them', (_name, at, value) => {
    const frame = Buffer.from(zstdFrame(4));
    frame[at] = value;

    expect(zstdFrameBytes(frame, 4096)).toBeUndefined();
    expect(zstdFrameBytes(zstdFrame(4), 4096)).toBe(zstdFrame(4).length);
  });

  it('never gives other bytes for a damaged frame than a status or wrong content', () => {
    const random = createRandom(3);
    for (let turn = 0; turn < 300; turn++) {
      const frame = Buffer.from(zstdFrame(2));
      frame[6 + random.below(frame.length - 6)] = random.below(256);
      const target = Buffer.alloc(4096);
      expect([UNPACK_OK, UNPACK_BAD_LENGTH, UNPACK_BAD_STREAM]).toContain(
        expandZstd(frame, target),
      );
    }
  });

  it('is expanded by the package where Node has no decoder', async () => {
    const decode = await chooseZstd(undefined, () => import('zstddec'));

    expect(Buffer.from(decode(zstdFrame(5), 4096)).equals(plainOf(5))).toBe(true);
  });

  it('prefers the decoder of Node', async () => {
    const decode = await chooseZstd(ownDecoder, unreachableLoad);

    expect(decode(Buffer.alloc(0), 3).toString()).toBe('own');
  });

  it('without any decoder tells what to install', async () => {
    const error = await expectCode(chooseZstd(undefined, failingLoad), 'USAGE_CODEC_MISSING');

    expect(error.hint).toContain('zstddec');
  });
});
