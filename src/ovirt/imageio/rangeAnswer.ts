/**
 * Parses the answer of imageio to a request for a range, from pieces of any length. The body is
 * copied straight into memory of the caller.
 *
 * @see RFC 9112 (messages), RFC 9110 §14 (ranges); ovirt-imageio docs/images.md
 */
import { invariant } from '../../core/errors.ts';
import { badAnswer, MAX_TEXT_BYTES } from './badAnswer.ts';

const MAX_HEAD_BYTES = 16 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');
const STATUS_LINE = /^HTTP\/1\.[01] ([2-5]\d\d)(?: |$)/;
const PARTIAL_CONTENT = 206;
const NOTHING = new Uint8Array(0);
/** Headers that tell where an answer ends. Two of a kind are an attack or a defect. */
const FRAMING = new Set(['content-length', 'content-range', 'transfer-encoding']);

export interface Range {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Filled with the bytes, one after the other. Their lengths add up to `lengthBytes`. */
  readonly targets: readonly Uint8Array[];
}

/** Checks the range. @throws {@link TransferError} `TRANSFER_BAD_ANSWER` if it differs */
export function checkContentRange(header: string | undefined, range: Range, what: string): void {
  const { offsetBytes, lengthBytes } = range;
  const [, from, to] = /^bytes (\d+)-(\d+)\//.exec(header ?? '') ?? [];
  if (Number(from) === offsetBytes && Number(to) === offsetBytes + lengthBytes - 1) return;
  throw badAnswer(`${what}: the server answered with another range`);
}

/** Copies the bytes of a range into its targets. */
export class RangeBody {
  readonly #range: Range;
  readonly #what: string;
  #targetIndex = 0;
  #targetBytes = 0;
  #receivedBytes = 0;

  constructor(range: Range, what: string) {
    this.#range = range;
    this.#what = what;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Room for the next bytes, at most `mostBytes`, all in one target. Empty at the range's end. */
  room(mostBytes: number): Uint8Array {
    const target = this.#range.targets[this.#targetIndex];
    const from = this.#targetBytes;
    return target ? target.subarray(from, Math.min(target.length, from + mostBytes)) : NOTHING;
  }

  /** Counts bytes that were written into the {@link room}. */
  advance(countBytes: number): void {
    this.#receivedBytes += countBytes;
    this.#targetBytes += countBytes;
    if (this.#targetBytes < (this.#range.targets[this.#targetIndex]?.length ?? 0)) return;
    this.#targetIndex++;
    this.#targetBytes = 0;
  }

  /** Copies a piece. @throws {@link TransferError} `TRANSFER_BAD_ANSWER` after the range's end */
  take(piece: Uint8Array): void {
    const { lengthBytes } = this.#range;
    if (this.#receivedBytes + piece.length > lengthBytes) {
      throw badAnswer(`${this.#what}: the server sent more than ${lengthBytes} B`);
    }
    for (let from = 0; from < piece.length; ) {
      const room = this.room(piece.length - from);
      invariant(room.length > 0, 'targets are shorter than their range');
      room.set(piece.subarray(from, from + room.length));
      this.advance(room.length);
      from += room.length;
    }
  }
}

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

function parseHead(text: string, what: string): Head {
  const [first = '', ...lines] = text.split('\r\n');
  const status = STATUS_LINE.exec(first)?.[1];
  if (status === undefined) throw badAnswer(`${what}: the answer is no HTTP`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const isAmbiguous = FRAMING.has(name) && headers.has(name);
    if (colon < 1 || isAmbiguous) throw badAnswer(`${what}: the head is not understood`);
    headers.set(name, line.slice(colon + 1).trim());
  }
  return { status: Number(status), headers };
}

export class RangeAnswer {
  readonly #range: Range;
  readonly #what: string;
  #head: Head | undefined;
  /** Bytes of a head that has not ended yet. */
  #begun: Buffer = Buffer.alloc(0);
  readonly #text: Buffer[] = [];
  readonly #body: RangeBody;
  #remainingBytes = 0;
  /** The body has a known length and is taken to its end. */
  #isWhole = false;

  constructor(range: Range, what: string) {
    this.#range = range;
    this.#what = what;
    this.#body = new RangeBody(range, what);
  }

  /** HTTP status; 0 until the head has arrived. */
  get status(): number {
    return this.#head?.status ?? 0;
  }

  /** True when the range, or a part of it, is in its targets. */
  get isRange(): boolean {
    return this.status === PARTIAL_CONTENT;
  }

  /** Bytes in the targets; fewer than asked when the server sent less. */
  get receivedBytes(): number {
    return this.#body.receivedBytes;
  }

  /** Body of a refusal; empty when it is long or of unknown length. */
  get text(): string {
    return Buffer.concat(this.#text).toString('utf8');
  }

  /** True when the connection may serve another request after this answer. */
  get keepsConnection(): boolean {
    return this.#isWhole && this.#head?.headers.get('connection')?.toLowerCase() !== 'close';
  }

  /**
   * Room for the next bytes of the connection, so that they need not be copied. Undefined while
   * they belong to a head, or to the text of a refusal: then they go to {@link push}.
   */
  get room(): Uint8Array | undefined {
    if (!this.#isWhole || !this.isRange || this.#remainingBytes === 0) return undefined;
    return this.#body.room(this.#remainingBytes);
  }

  /** Counts bytes that came into the {@link room}. Returns true when the answer has ended. */
  filled(countBytes: number): boolean {
    this.#body.advance(countBytes);
    this.#remainingBytes -= countBytes;
    return this.#remainingBytes === 0;
  }

  /**
   * Takes the next bytes of the connection. They are copied and stay the caller's.
   *
   * @returns true when the answer has ended.
   * @throws {@link TransferError} `TRANSFER_BAD_ANSWER`. The connection must then be closed.
   */
  push(bytes: Buffer): boolean {
    const body = this.#head ? bytes : this.#takeHead(bytes);
    if (!body) return false;
    if (body.length > this.#remainingBytes && this.#isWhole) {
      throw badAnswer(`${this.#what}: the server sent more than the body of its answer`);
    }
    const part = body.subarray(0, this.#remainingBytes);
    this.#remainingBytes -= part.length;
    if (this.isRange) this.#body.take(part);
    else if (part.length > 0) this.#text.push(Buffer.from(part));
    return this.#remainingBytes === 0;
  }

  /** @returns the bytes after the head; undefined when the head has not ended yet. */
  #takeHead(bytes: Buffer): Buffer | undefined {
    const all = this.#begun.length > 0 ? Buffer.concat([this.#begun, bytes]) : bytes;
    const end = all.indexOf(HEAD_END);
    if ((end < 0 ? all.length : end) > MAX_HEAD_BYTES) {
      throw badAnswer(`${this.#what}: the head is longer than ${MAX_HEAD_BYTES} B`);
    }
    if (end < 0) {
      this.#begun = Buffer.from(all);
      return undefined;
    }
    this.#start(parseHead(all.toString('latin1', 0, end), this.#what));
    return all.subarray(end + HEAD_END.length);
  }

  #start(head: Head): void {
    const { headers, status } = head;
    const lengthBytes = this.#bodyBytes(headers);
    if (status === PARTIAL_CONTENT) this.#checkRange(headers, lengthBytes);
    this.#head = head;
    const isLong = status !== PARTIAL_CONTENT && (lengthBytes ?? Infinity) > MAX_TEXT_BYTES;
    if (lengthBytes === undefined || isLong) return;
    this.#remainingBytes = lengthBytes;
    this.#isWhole = true;
  }

  #bodyBytes(headers: ReadonlyMap<string, string>): number | undefined {
    const text = headers.get('content-length');
    if (text === undefined || headers.has('transfer-encoding')) return undefined;
    if (!/^\d{1,15}$/.test(text)) throw badAnswer(`${this.#what}: the head is not understood`);
    return Number(text);
  }

  #checkRange(headers: ReadonlyMap<string, string>, bodyBytes: number | undefined): void {
    checkContentRange(headers.get('content-range'), this.#range, this.#what);
    if (bodyBytes === undefined) throw badAnswer(`${this.#what}: the answer has no length`);
    const { lengthBytes } = this.#range;
    if (bodyBytes > lengthBytes) {
      throw badAnswer(`${this.#what}: the server sent more than ${lengthBytes} B`);
    }
  }
}
