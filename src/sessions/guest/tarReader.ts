/** Reads an archive as GNU tar writes it. Names are bytes as latin1. */
import { OutputError } from '../../core/errors.ts';

const RECORD_BYTES = 512;
/** Names are at most 4096 bytes long, and headers of POSIX hold a few of them. */
const MAX_HEADER_DATA_BYTES = 64 * 1024;

export interface TarEntry {
  /** Such as `./etc/hosts`. */
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'link' | 'hardLink' | 'special';
  /** Target of a link. */
  readonly linkName: string;
  /** Permission bits. */
  readonly mode: number;
  readonly modifiedAtSeconds: number;
  readonly sizeBytes: number;
  /** The content of a file, in pieces. What is not taken is skipped. */
  content(): AsyncGenerator<Buffer>;
}

const KINDS: Readonly<Record<string, TarEntry['kind']>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardLink',
  '2': 'link',
  '3': 'special',
  '4': 'special',
  '5': 'folder',
  '6': 'special',
};

/** Bytes of a stream, in pieces of a wanted length. */
export class PieceReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** At least one byte, at most `maxBytes`. */
  async piece(maxBytes: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) throw broken('it ends too early');
      this.#rest = value;
    }
    const piece = this.#rest.subarray(0, maxBytes);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async exactly(lengthBytes: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let left = lengthBytes; left > 0; left -= pieces.at(-1)?.length ?? 0) {
      pieces.push(await this.piece(left));
    }
    return Buffer.concat(pieces);
  }

  async skip(lengthBytes: number): Promise<void> {
    for (let left = lengthBytes; left > 0; ) left -= (await this.piece(left)).length;
  }
}

/**
 * The entries of one archive. Zeros before it are skipped: they fill up the archive before. The
 * content of an entry must be taken before the next one.
 *
 * @throws {@link OutputError} `TOOL_FAILED` for bytes that are no archive
 */
export async function* readTar(reader: PieceReader): AsyncGenerator<TarEntry> {
  let next: Partial<Pick<TarEntry, 'name' | 'linkName' | 'sizeBytes'>> = {};
  for (let isStarted = false; ; ) {
    const header = await reader.exactly(RECORD_BYTES);
    if (header.every((byte) => byte === 0)) {
      if (isStarted) return;
      continue;
    }
    isStarted = true;
    checkSum(header);
    const type = textAt(header, 156, 1) || '\0';
    const sizeBytes = numberAt(header, 124, 12);
    if ('LKxg'.includes(type)) {
      next = { ...next, ...moreHeader(type, await headerData(reader, sizeBytes)) };
      continue;
    }
    const entry = { ...entryOf(header, type, sizeBytes), ...next };
    next = {};
    // Only files have content.
    let left = entry.kind === 'file' ? entry.sizeBytes : 0;
    const padding = -left & (RECORD_BYTES - 1);
    async function* content(): AsyncGenerator<Buffer> {
      while (left > 0) {
        const piece = await reader.piece(left);
        left -= piece.length;
        yield piece;
      }
    }
    yield { ...entry, content };
    await reader.skip(left + padding);
  }
}

function entryOf(header: Buffer, type: string, sizeBytes: number): Omit<TarEntry, 'content'> {
  const kind = KINDS[type];
  if (kind === undefined) throw broken(`it has an entry of type ${JSON.stringify(type)}`);
  const isPosix = textAt(header, 257, 6) === 'ustar';
  const prefix = isPosix ? textAt(header, 345, 155) : '';
  const name = textAt(header, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    kind,
    linkName: textAt(header, 157, 100),
    mode: numberAt(header, 100, 8) & 0o777,
    modifiedAtSeconds: numberAt(header, 136, 12),
    sizeBytes,
  };
}

/** Long names of GNU tar, or a header of POSIX. A global header says nothing about names. */
function moreHeader(
  type: string,
  data: string,
): Partial<Pick<TarEntry, 'name' | 'linkName' | 'sizeBytes'>> {
  const untilZero = data.replace(/\0.*$/s, '');
  if (type === 'L') return { name: untilZero };
  if (type === 'K') return { linkName: untilZero };
  if (type === 'g') return {};
  const fields = posixFields(data);
  const [name, linkName, size] = ['path', 'linkpath', 'size'].map((key) => fields.get(key));
  return {
    ...(name !== undefined && { name }),
    ...(linkName !== undefined && { linkName }),
    ...(size !== undefined && { sizeBytes: Number(size) }),
  };
}

/** Fields such as `18 path=some name\n`, where 18 is the length of the whole field. */
function posixFields(data: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const length = Number.parseInt(data.slice(at), 10);
    if (!(length > 0)) throw broken('a header is malformed');
    const [, key = '', value = ''] =
      /^\d+ ([^=]+)=(.*)\n$/s.exec(data.slice(at, at + length)) ?? [];
    fields.set(key, value);
    at += length;
  }
  return fields;
}

async function headerData(reader: PieceReader, lengthBytes: number): Promise<string> {
  if (lengthBytes > MAX_HEADER_DATA_BYTES) throw broken(`a header of ${lengthBytes} B`);
  const data = await reader.exactly(lengthBytes);
  await reader.skip(-lengthBytes & (RECORD_BYTES - 1));
  return data.toString('latin1');
}

function textAt(header: Buffer, at: number, lengthBytes: number): string {
  return header.toString('latin1', at, at + lengthBytes).replace(/\0.*$/s, '');
}

/** Octal digits. Numbers that need more have the first bit set, and are binary. */
function numberAt(header: Buffer, at: number, lengthBytes: number): number {
  const first = header[at] ?? 0;
  const value =
    first < 0x80
      ? Number.parseInt(textAt(header, at, lengthBytes).trim() || '0', 8)
      : binaryAt(header, at, lengthBytes);
  if (!Number.isSafeInteger(value)) throw broken('a number is malformed or too large');
  return value;
}

function binaryAt(header: Buffer, at: number, lengthBytes: number): number {
  const first = header[at] ?? 0;
  let value = first === 0xff ? -1 : first & 0x7f;
  for (let k = 1; k < lengthBytes; k++) value = value * 256 + (header[at + k] ?? 0);
  return value;
}

/** The sum of all bytes, with spaces in the place of the sum. */
function checkSum(header: Buffer): void {
  let sum = 8 * 0x20;
  for (const [k, byte] of header.entries()) if (k < 148 || k >= 156) sum += byte;
  if (sum !== numberAt(header, 148, 8)) throw broken('a header has a wrong sum');
}

function broken(text: string): OutputError {
  return new OutputError('TOOL_FAILED', `the archive of the folder cannot be read: ${text}`, {
    hint: 'run the command again, or get the files one by one',
  });
}
