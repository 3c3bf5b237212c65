/** Small sealed files in memory: whole ones, and files of lines. */
import { FormatError } from '../../core/errors.ts';
import type { FilePlace, KeyRing } from './keys.ts';
import {
  CHUNKS_MAGIC,
  HEADER_BYTES,
  lastChunkOf,
  LINES_MAGIC,
  plainBytesOf,
  plainSizeOf,
  plainStartOf,
  SEAL_BYTES,
  sealBroken,
  sealedStartOf,
} from './sealFormat.ts';
import type { ChunkCipher } from './chunkCipher.ts';

/** The sealed form of a small file. */
export function sealWhole(keys: KeyRing, place: FilePlace, content: Uint8Array): Buffer {
  const { cipher, header } = keys.startFile(CHUNKS_MAGIC, place);
  const pieces = [header];
  const last = lastChunkOf(content.length);
  for (let chunk = 0; chunk <= last; chunk++) {
    const startBytes = plainStartOf(chunk);
    const part = content.subarray(startBytes, startBytes + plainBytesOf(chunk));
    pieces.push(...cipher.seal([part], chunk, chunk === last));
  }
  return Buffer.concat(pieces);
}

function openWhole(keys: KeyRing, place: FilePlace, sealed: Buffer): Buffer {
  const cipher = keys.openFile(CHUNKS_MAGIC, sealed.subarray(0, HEADER_BYTES), place);
  const last = lastChunkOf(plainSizeOf(sealed.length));
  const parts: Buffer[] = [];
  for (let chunk = 0; chunk <= last; chunk++) {
    const isLast = chunk === last;
    const endBytes = isLast ? sealed.length : sealedStartOf(chunk + 1);
    parts.push(cipher.open(sealed.subarray(sealedStartOf(chunk), endBytes), chunk, isLast));
  }
  return Buffer.concat(parts);
}

/**
 * First line of a file of lines: the header, and an empty chunk 0. That proves the name of a file
 * without further lines.
 */
export function headerLine(cipher: ChunkCipher, header: Buffer): string {
  return `${Buffer.concat([header, ...cipher.seal([], 0, false)]).toString('base64')}\n`;
}

/**
 * @param line - ends with a newline, which is not sealed.
 * @param lineNumber - counted from 1. It is sealed as the chunk of this number.
 */
export function sealLine(cipher: ChunkCipher, line: string, lineNumber: number): string {
  const plain = Buffer.from(line.replace(/\n$/, ''));
  return `${Buffer.concat(cipher.seal([plain], lineNumber, false)).toString('base64')}\n`;
}

/** Base64 that only one text gives. Otherwise other texts would stand for the same line. */
function strictBase64(text: string, { file }: FilePlace, lineNumber: number): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') === text) return bytes;
  throw sealBroken(file, 'is no base64', lineNumber);
}

/**
 * A last line without a newline was cut by a crash and is left out. Nobody can tell whether whole
 * lines are missing at the end: such a file grows, so its end is never sealed.
 */
function openLines(keys: KeyRing, place: FilePlace, sealed: Buffer): Buffer {
  const [head = '', ...lines] = sealed.toString('latin1').split('\n').slice(0, -1);
  const start = strictBase64(head, place, 0);
  const cipher = keys.openFile(LINES_MAGIC, start.subarray(0, HEADER_BYTES), place);
  cipher.open(start.subarray(HEADER_BYTES), 0, false);
  const plain = lines.map((line, index) => {
    const bytes = strictBase64(line, place, index + 1);
    return Buffer.concat([cipher.open(bytes, index + 1, false), Buffer.from('\n')]);
  });
  return Buffer.concat(plain);
}

const LINES_START = Buffer.from(LINES_MAGIC).toString('base64').slice(0, 10);

/**
 * The plain content of a small sealed file of either form.
 *
 * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN`
 * @throws {@link FormatError} `FORMAT_UNSUPPORTED`, `FORMAT_TRUNCATED`
 */
export function openSmallFile(keys: KeyRing, place: FilePlace, sealed: Buffer): Buffer {
  if (sealed.toString('latin1', 0, LINES_START.length) === LINES_START) {
    return openLines(keys, place, sealed);
  }
  if (sealed.length < HEADER_BYTES + SEAL_BYTES) {
    throw new FormatError('FORMAT_TRUNCATED', `${place.file}: is cut off in its sealed header`);
  }
  return openWhole(keys, place, sealed);
}

/** A line of 20 bytes, as short as those of journals get, becomes three times as long. */
const MAX_GROWTH = 4;
const MIN_SEALED_BYTES = 1024;

/** Most bytes of a sealed file, of either form, whose plain content has at most `maxBytes`. */
export function maxSealedBytes(maxBytes: number): number {
  return MIN_SEALED_BYTES + MAX_GROWTH * maxBytes;
}
