/** Archives that the tar of this machine writes, in each of its formats. */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PieceReader, readTar } from '../../../../src/sessions/guest/tarReader.ts';
import { noise } from '../../../helpers/bytes/random.ts';
import { useSharedTempFolder } from '../../../helpers/tempFolder.ts';

const folder = useSharedTempFolder();
const LONG = `${'l'.repeat(120)}/${'m'.repeat(140)}`;
const CONTENT = noise(1, 70_000);

beforeAll(() => {
  const put = (name: string, content: Uint8Array | string): void => {
    const file = folder.path('tree', name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  put('a', CONTENT);
  put('empty', '');
  put('new\nline "q"', 'x');
  put(LONG, 'long');
  symlinkSync(LONG, folder.path('tree/link'));
  linkSync(folder.path('tree/a'), folder.path('tree/second'));
  utimesSync(folder.path('tree/empty'), 1e9, 1e9);
});

function archive(format: string): Buffer {
  const args = ['-C', folder.path('tree'), '--sort=name', `--format=${format}`, '-cf', '-', '.'];
  return execFileSync('tar', args, { maxBuffer: 1 << 24 });
}

async function* piecesOf(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    yield bytes.subarray(at, at + pieceBytes);
  }
}

async function namesIn(reader: PieceReader): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of readTar(reader)) names.push(name);
  return names;
}

function readerOf(bytes: Buffer): PieceReader {
  return new PieceReader(piecesOf(bytes, 1000));
}

describe('an archive', () => {
  it.each([
    ['gnu', 1],
    ['gnu', 4096],
    ['posix', 1000],
    ['pax', 1e6],
  ])('of format %s in pieces of %d B', async (format, pieceBytes) => {
    const reader = new PieceReader(piecesOf(archive(format), pieceBytes));
    const entries: Record<string, unknown> = {};

    for await (const entry of readTar(reader)) {
      const { name, kind, linkName, modifiedAtSeconds } = entry;
      const pieces: Buffer[] = [];
      for await (const piece of entry.content()) pieces.push(piece);
      const bytes = Buffer.concat(pieces);
      entries[name] = kind === 'file' ? bytes.equals(CONTENT) || bytes.toString() : kind;
      if (kind === 'link' || kind === 'hardLink') entries[name] = [kind, linkName];
      if (name === './empty') expect(modifiedAtSeconds).toBe(1e9);
    }

    expect(entries).toEqual({
      './': 'folder',
      './a': true,
      './empty': '',
      './link': ['link', LONG],
      [`./${path.dirname(LONG)}/`]: 'folder',
      [`./${LONG}`]: 'long',
      './new\nline "q"': 'x',
      './second': ['hardLink', './a'],
    });
  });

  it('is read after another one, whose padding is skipped', async () => {
    const reader = readerOf(Buffer.concat([archive('gnu'), archive('posix')]));

    expect(await namesIn(reader)).toEqual(await namesIn(reader));
  });

  it('may hold a file whose size needs more than octal digits', async () => {
    const large = folder.make('large');
    writeFileSync(path.join(large, 'file'), '');
    truncateSync(path.join(large, 'file'), 9 * 2 ** 30);
    const args = `tar -C '${large}' --format=gnu -cf - file | head -c 2048`;
    const reader = readerOf(execFileSync('sh', ['-c', args]));

    const { value } = await readTar(reader).next();

    expect(value).toMatchObject({ name: 'file', sizeBytes: 9 * 2 ** 30 });
  });
});

describe('bytes that are no archive', () => {
  it.each([
    ['a flipped bit', (bytes: Buffer): Buffer => flip(bytes, 3), 'a wrong sum'],
    ['an end too early', (bytes: Buffer): Buffer => bytes.subarray(0, 900), 'it ends too early'],
    ['nothing', (): Buffer => Buffer.alloc(0), 'it ends too early'],
    ['an unknown type', (bytes: Buffer): Buffer => retyped(bytes, 'S'), 'an entry of type "S"'],
    ['a header without end', (bytes: Buffer): Buffer => huge(retyped(bytes, 'L')), 'a header of'],
  ])('are refused: %s', async (_what, change, text) => {
    const reader = readerOf(change(Buffer.from(archive('gnu'))));

    await expect(namesIn(reader)).rejects.toThrow(text);
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

function retyped(bytes: Buffer, type: string): Buffer {
  bytes.write(type, 156, 'latin1');
  return summed(bytes);
}

function huge(bytes: Buffer): Buffer {
  bytes.write('77777777777', 124, 'latin1');
  return summed(bytes);
}

function summed(bytes: Buffer): Buffer {
  bytes.fill(' ', 148, 156);
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}
