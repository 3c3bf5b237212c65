/**
 * Checks that all bytes of a server are replies as the protocol has them, whatever its client sent.
 * Only replies to cookies of the client are allowed, and each of them ends once.
 */
import {
  CHUNK,
  CHUNK_DONE,
  COMMAND,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  REQUEST_BYTES,
  REQUEST_MAGIC,
  SERVER_MAGIC,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from '../../../src/points/nbd/protocol.ts';

const GREETING_BYTES = 18;
/** The reply to the oldest option: size and flags, and zeros that the client may do without. */
const OLDEST_REPLY_BYTES = [10, 134];
const ERRORS = new Set([1, 5, 22, 28, 75, 95, 108]);

/** Cookies with the commands and lengths of all requests that the bytes may contain. */
type Asked = ReadonlyMap<bigint, readonly { readonly command: number; readonly length: number }[]>;

function askedIn(sent: Buffer): Asked {
  const magic = Buffer.alloc(4);
  magic.writeUInt32BE(REQUEST_MAGIC);
  const asked = new Map<bigint, { command: number; length: number }[]>();
  for (let at = sent.indexOf(magic); at >= 0; at = sent.indexOf(magic, at + 1)) {
    if (at + REQUEST_BYTES > sent.length) break;
    const cookie = sent.readBigUInt64BE(at + 8);
    const request = { command: sent.readUInt16BE(at + 6), length: sent.readUInt32BE(at + 24) };
    asked.set(cookie, [...(asked.get(cookie) ?? []), request]);
  }
  return asked;
}

/** @throws Error for bytes that are no reply. A reply may be cut off at the end. */
export function checkReplies(sent: Buffer, received: Buffer): void {
  check(
    received.length >= GREETING_BYTES &&
      received.readBigUInt64BE(0) === SERVER_MAGIC &&
      received.readBigUInt64BE(8) === OPTION_MAGIC,
    'no greeting',
  );
  let at = GREETING_BYTES;
  while (received.length - at >= 20 && received.readBigUInt64BE(at) === OPTION_REPLY_MAGIC) {
    at += 20 + received.readUInt32BE(at + 16);
  }
  if (at >= received.length) return;
  checkTransmission(askedIn(sent), received.subarray(startOf(received, at)));
}

/** Where replies to requests begin. The reply to the oldest option has no magic number. */
function startOf(received: Buffer, at: number): number {
  if (isReply(received, at)) return at;
  const found = OLDEST_REPLY_BYTES.map((length) => at + length).find(
    (start) => start >= received.length || isReply(received, start),
  );
  check(found !== undefined, `no reply at ${at}`);
  return found ?? at;
}

function isReply(received: Buffer, at: number): boolean {
  if (at + 4 > received.length) return false;
  const magic = received.readUInt32BE(at);
  return magic === SIMPLE_REPLY_MAGIC || magic === STRUCTURED_REPLY_MAGIC;
}

function checkTransmission(asked: Asked, replies: Buffer): void {
  for (let at = 0; at < replies.length; ) {
    if (replies.length - at < 20 && replies.length - at !== 16) return;
    check(isReply(replies, at), `no reply at ${at} of the replies`);
    const isSimple = replies.readUInt32BE(at) === SIMPLE_REPLY_MAGIC;
    const next = isSimple ? afterSimple(asked, replies, at) : afterChunk(asked, replies, at);
    if (next === undefined) return;
    at = next;
  }
}

/** The end of a simple reply; undefined when two requests with one cookie leave it open. */
function afterSimple(asked: Asked, replies: Buffer, at: number): number | undefined {
  const error = replies.readUInt32BE(at + 4);
  const requests = asked.get(replies.readBigUInt64BE(at + 8));
  check(requests !== undefined, 'a reply to nobody');
  check(error === 0 || ERRORS.has(error), `error ${error}`);
  if (error !== 0) return at + 16;
  const lengths = new Set(
    requests?.map(({ command, length }) => (command === COMMAND.read ? length : 0)),
  );
  const [length = 0] = lengths;
  return lengths.size === 1 ? at + 16 + length : undefined;
}

function afterChunk(asked: Asked, replies: Buffer, at: number): number {
  const [flags, type] = [replies.readUInt16BE(at + 4), replies.readUInt16BE(at + 6)];
  const length = replies.readUInt32BE(at + 16);
  check(asked.has(replies.readBigUInt64BE(at + 8)), 'a chunk for nobody');
  check((flags & ~CHUNK_DONE) === 0, `flags ${flags} of a chunk`);
  check((Object.values(CHUNK) as number[]).includes(type), `chunk of type ${type}`);
  if (type === CHUNK.none) check(length === 0 && flags === CHUNK_DONE, 'an empty chunk with bytes');
  if (type === CHUNK.offsetHole) check(length === 12, 'a hole of another size');
  if (type === CHUNK.offsetData) check(length > 8, 'data without bytes');
  if (type === CHUNK.blockStatus) check(length % 8 === 4 && length > 4, 'descriptors cut in two');
  if (type === CHUNK.error && replies.length >= at + 26) {
    check(ERRORS.has(replies.readUInt32BE(at + 20)), 'an unknown error');
    check(replies.readUInt16BE(at + 24) === length - 6, 'a text of another length');
  }
  return at + 20 + length;
}

function check(condition: boolean, text: string): void {
  if (!condition) throw new Error(text);
}
