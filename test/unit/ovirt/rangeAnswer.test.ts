import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeAnswer } from '../../../src/ovirt/imageio/rangeAnswer.ts';

const BODY = 'abcdefghij';
const RANGE_HEAD =
  'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-109/1000\r\nContent-Length: 10\r\n';

interface Taken {
  readonly answer: RangeAnswer;
  readonly targets: readonly Buffer[];
  readonly hasEnded: boolean;
}

/** Gives `text` to an answer for bytes 100 to 109, in pieces. The last piece length is repeated. */
function take(
  text: string,
  targetBytes: readonly number[] = [10],
  pieceBytes = [text.length],
): Taken {
  const targets = targetBytes.map((length) => Buffer.alloc(length, '.'));
  const answer = new RangeAnswer({ offsetBytes: 100, lengthBytes: 10, targets }, 'read');
  const bytes = Buffer.from(text, 'latin1');
  let [fromBytes, hasEnded] = [0, false];
  for (let k = 0; fromBytes < bytes.length && !hasEnded; k++) {
    const length = pieceBytes[Math.min(k, pieceBytes.length - 1)] ?? 1;
    // The buffer is overwritten afterwards, like that of a socket.
    const piece = Buffer.from(bytes.subarray(fromBytes, fromBytes + length));
    hasEnded = answer.push(piece);
    piece.fill('#');
    fromBytes += length;
  }
  return { answer, targets, hasEnded };
}

describe('an answer with a range', () => {
  it('fills its targets, however it is cut', () => {
    const cut = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 });
    const sizes = fc.constantFrom([10], [1, 9], [4, 1, 5], [9, 1], [2, 2, 2, 2, 2]);
    fc.assert(
      fc.property(cut, sizes, (pieces, targetBytes) => {
        const { answer, targets, hasEnded } = take(`${RANGE_HEAD}\r\n${BODY}`, targetBytes, pieces);

        expect(hasEnded).toBe(true);
        expect(Buffer.concat(targets).toString()).toBe(BODY);
        expect(answer).toMatchObject({ isRange: true, receivedBytes: 10, keepsConnection: true });
      }),
    );
  });

  it('may be shorter than its range, which is counted', () => {
    const head = RANGE_HEAD.replace('Length: 10', 'Length: 4');

    const { answer, targets, hasEnded } = take(`${head}\r\nabcd`, [3, 7]);

    expect(hasEnded).toBe(true);
    expect(answer.receivedBytes).toBe(4);
    expect(Buffer.concat(targets).toString()).toBe('abcd......');
  });

  it('has not ended while bytes are missing', () => {
    expect(take(`${RANGE_HEAD}\r\nabcdefghi`).hasEnded).toBe(false);
    expect(take(RANGE_HEAD).hasEnded).toBe(false);
  });

  it('can be the last one of its connection', () => {
    const { answer } = take(`${RANGE_HEAD}Connection: Close\r\n\r\n${BODY}`);

    expect(answer).toMatchObject({ receivedBytes: 10, keepsConnection: false });
  });

  it.each([
    ['another range', RANGE_HEAD.replace('100-', '101-'), /another range/],
    ['a shorter range', RANGE_HEAD.replace('-109', '-108'), /another range/],
    ['no range', RANGE_HEAD.replace('Content-Range', 'X-Range'), /another range/],
    ['no length', RANGE_HEAD.replace('Content-Length', 'X-Length'), /no length/],
    ['chunks', `${RANGE_HEAD}Transfer-Encoding: chunked\r\n`, /no length/],
    ['a length that is none', RANGE_HEAD.replace(': 10', ': 1e1'), /not understood/],
    ['a negative length', RANGE_HEAD.replace(': 10', ': -1'), /not understood/],
    ['two lengths', `${RANGE_HEAD}Content-Length: 11\r\n`, /not understood/],
    ['more than was asked for', RANGE_HEAD.replace(': 10', ': 11'), /more than 10 B/],
    ['a line without a name', `${RANGE_HEAD}: x\r\n`, /not understood/],
    ['another protocol', `SSH-2.0 ${RANGE_HEAD}`, /no HTTP/],
    ['a head in between', RANGE_HEAD.replace('206', '100'), /no HTTP/],
    [
      'a head without end',
      `${RANGE_HEAD}${'X-Filler: 0123456789\r\n'.repeat(1000)}`,
      /longer than/,
    ],
  ])('is refused with %s', (_what, head, message) => {
    const failure = { code: 'TRANSFER_BAD_ANSWER', message: expect.stringMatching(message) };
    const text = `${head}\r\n${BODY}`;

    expect(() => take(text)).toThrow(expect.objectContaining(failure));
    expect(() => take(text, [10], [7])).toThrow(expect.objectContaining(failure));
  });

  it('is refused with bytes behind its end', () => {
    expect(() => take(`${RANGE_HEAD}\r\n${BODY}HTTP/1.1 200 OK`)).toThrow(/sent more/);
  });
});

describe('a refusal', () => {
  it('gives its status and text', () => {
    const { answer, targets, hasEnded } = take(
      'HTTP/1.1 403 Forbidden\r\nContent-Length: 14\r\n\r\nNo such ticket',
      [10],
      [9],
    );

    expect(hasEnded).toBe(true);
    expect(answer).toMatchObject({ status: 403, isRange: false, receivedBytes: 0 });
    expect(answer).toMatchObject({ text: 'No such ticket', keepsConnection: true });
    expect(targets[0]?.toString()).toBe('..........');
  });

  it.each([
    ['of unknown length', 'Server: x'],
    ['in chunks', 'Transfer-Encoding: chunked\r\nContent-Length: 5'],
    ['that is very long', 'Content-Length: 999999'],
  ])('%s is not waited for', (_what, header) => {
    const { answer, hasEnded } = take(`HTTP/1.1 500 Error\r\n${header}\r\n\r\n`);

    expect(hasEnded).toBe(true);
    expect(answer).toMatchObject({ status: 500, text: '', keepsConnection: false });
  });

  it('of a server that ignores ranges is no range', () => {
    const { answer, targets } = take(`HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n${BODY}`);

    expect(answer).toMatchObject({ status: 200, isRange: false });
    expect(targets[0]?.toString()).toBe('..........');
  });
});
