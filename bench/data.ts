/** Data of the benchmarks: an ext4 image with real files of this machine, and generated mixes. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { KIB, MIB } from '../src/core/units.ts';

/** Folders of Debian machines. A missing folder is left out. */
const SOURCES = ['/usr/share', '/usr/bin', '/usr/include', '/usr/lib'];
const SPARE_RATIO = 1.12;
const SPARE_BYTES = 48 * MIB;
const MAX_FILE = '-32M';
const BIG_OUTPUT = 1 << 28;
/** Unit of `blocks` in the status of a file, whatever the file system. */
const STAT_BLOCK_BYTES = 512;

async function existing(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    if (await stat(folder).catch(() => undefined)) found.push(folder);
  }
  return found;
}

/** A sample of real files, of so many bytes. A machine gives the same sample each time. */
async function sampleFiles(dataBytes: number): Promise<string[]> {
  const args = ['-xdev', '-type', 'f', '-size', MAX_FILE, '-printf', '%s %p\n'];
  const listed = execFileSync('find', [...(await existing(SOURCES)), ...args], {
    encoding: 'utf8',
    maxBuffer: BIG_OUTPUT,
  });
  const files = listed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({
      sizeBytes: Number.parseInt(line, 10),
      file: line.slice(line.indexOf(' ') + 1),
      rank: createHash('md5').update(line).digest('hex'),
    }))
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1));
  let sumBytes = 0;
  return files.filter((one) => (sumBytes += one.sizeBytes) <= dataBytes).map((one) => one.file);
}

/** Builds the image with mkfs.ext4 -d; needs e2fsprogs. */
export async function buildImage(folder: string, dataBytes: number): Promise<string> {
  const [tree, list] = [path.join(folder, 'tree'), path.join(folder, 'files')];
  const image = path.join(folder, 'image.raw');
  await mkdir(tree, { recursive: true });
  await writeFile(list, (await sampleFiles(dataBytes)).join('\0'));
  const copy = 'tar --null -cf - -T "$0" 2>/dev/null | tar -xf - -C "$1"';
  execFileSync('sh', ['-c', copy, list, tree], { stdio: 'ignore' });
  const used = execFileSync('du', ['-sB1', tree], { encoding: 'utf8' });
  const sizeBytes = Math.ceil((Number.parseInt(used, 10) * SPARE_RATIO + SPARE_BYTES) / MIB) * MIB;
  await writeFile(image, '');
  await truncate(image, sizeBytes);
  execFileSync('mkfs.ext4', ['-q', '-F', '-d', tree, image], { stdio: 'ignore' });
  await rm(tree, { recursive: true, force: true });
  await rm(list);
  return image;
}

export const MIXES = ['text', 'half random', 'random', 'zero'] as const;
export type Mix = (typeof MIXES)[number];

const PIECE_BYTES = 64 * KIB;
const PAGE_BYTES = 4 * KIB;
const PIECES = 64;
const WORDS = 2000;

/** Words for generated text, frequent words first. */
function words(): string[] {
  return Array.from({ length: WORDS }, () =>
    randomBytes(6)
      .toString('base64')
      .toLowerCase()
      .slice(0, 2 + Math.floor(Math.random() * 7)),
  );
}

function textPiece(vocabulary: readonly string[]): Buffer {
  const parts: string[] = [];
  for (let bytes = 0; bytes < PIECE_BYTES; ) {
    const word = vocabulary[Math.floor(WORDS * Math.random() ** 3)] ?? '';
    parts.push(word);
    bytes += word.length + 1;
  }
  return Buffer.from(parts.join(' ').padEnd(PIECE_BYTES)).subarray(0, PIECE_BYTES);
}

/** One half of every page is random, the other half is text. */
function halfPiece(vocabulary: readonly string[]): Buffer {
  const piece = Buffer.from(textPiece(vocabulary));
  for (let at = 0; at < PIECE_BYTES; at += PAGE_BYTES) piece.set(randomBytes(PAGE_BYTES / 2), at);
  return piece;
}

function makePieces(mix: Mix): Buffer[] {
  const vocabulary = words();
  const make = (): Buffer => (mix === 'text' ? textPiece(vocabulary) : halfPiece(vocabulary));
  return Array.from({ length: PIECES }, make);
}

/**
 * Gives blocks of a mix. Each block orders its pieces in another way, so no two blocks are equal:
 * equal blocks would be stored once. A piece is as long as LZ4's window, so LZ4 does not see that
 * pieces repeat.
 */
export function blockMaker(mix: Mix): () => Buffer {
  if (mix === 'zero') return () => Buffer.alloc(MIB);
  if (mix === 'random') return () => randomBytes(MIB);
  const pieces = makePieces(mix);
  const pick = (): Buffer => pieces[Math.floor(Math.random() * PIECES)] ?? Buffer.alloc(0);
  return () => Buffer.concat(Array.from({ length: MIB / PIECE_BYTES }, pick));
}

/** Writes a file of one mix. Zeros are written, not left as holes. */
export async function writeMix(file: string, mix: Mix, sizeBytes: number): Promise<void> {
  const makeBlock = blockMaker(mix);
  const target = await open(file, 'w');
  try {
    for (let at = 0; at < sizeBytes; at += MIB) await target.write(makeBlock(), 0, MIB, at);
  } finally {
    await target.close();
  }
}

/**
 * Bytes of a raw file outside its holes. The file system may count metadata, which the size limits.
 */
export async function dataBytesOf(file: string): Promise<number> {
  const { size, blocks } = await stat(file);
  return Math.min(size, blocks * STAT_BLOCK_BYTES);
}

/** Copies a part of a file. Start and length must be whole MiB. */
export function copyPart(from: string, to: string, startBytes: number, lengthBytes: number): void {
  const range = [`skip=${startBytes / MIB}`, `count=${lengthBytes / MIB}`];
  execFileSync('dd', [`if=${from}`, `of=${to}`, 'bs=1M', ...range, 'status=none']);
}
