import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../../src/core/errors.ts';
import { parseExtents } from '../../../src/ovirt/imageio/extentParser.ts';
import type { Extent } from '../../../src/flow/records.ts';
import { expectCode } from '../../helpers/errors.ts';

type Context = 'zero' | 'dirty';

async function* inPieces(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  let from = 0;
  for (const end of ends.toSorted((a, b) => a - b)) {
    yield bytes.subarray(from, end);
    from = end;
  }
}

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('[');
  throw new RangeError('connection lost');
}

async function parse(text: string, context: Context = 'zero', cuts: readonly number[] = []) {
  return [...(await parseExtents(inPieces(Buffer.from(text), cuts), context))];
}

/** Contiguous extents as imageio writes them. */
const listing = fc
  .array(
    fc.record({
      length: fc.integer({ min: 1, max: 2 ** 40 }),
      zero: fc.boolean(),
      dirty: fc.boolean(),
    }),
    { maxLength: 40 },
  )
  .map((rows) => {
    let start = 0;
    return rows.map((row) => {
      const extent = { start, ...row };
      start += row.length;
      return extent;
    });
  });
const cutting = fc.array(fc.nat(), { maxLength: 60 });

function toExtents(
  rows: readonly { start: number; length: number; zero: boolean; dirty: boolean }[],
) {
  return rows.map(
    ({ start, length, zero, dirty }): Extent => ({
      offsetBytes: start,
      lengthBytes: length,
      zero,
      dirty,
    }),
  );
}

describe('the reader of lists of extents', () => {
  it('gives the same list however the bytes are split', async () => {
    await fc.assert(
      fc.asyncProperty(listing, cutting, fc.constantFrom(0, 1, 4), async (rows, cuts, indent) => {
        const text = JSON.stringify(rows, undefined, indent);

        expect(await parse(text, 'dirty', cuts)).toEqual(toExtents(rows));
      }),
    );
  });

  it('calls every list that is cut off bad', async () => {
    await fc.assert(
      fc.asyncProperty(listing, cutting, fc.nat(), async (rows, cuts, at) => {
        const text = JSON.stringify(rows);
        const half = text.slice(0, at % text.length);

        await expectCode(parse(half, 'dirty', cuts), 'TRANSFER_BAD_EXTENTS');
      }),
    );
  });

  it('ends for garbage, with a list or with its one code', async () => {
    const token = fc.constantFrom(
      '[',
      ']',
      '{',
      '}',
      ',',
      ':',
      '"',
      '"start"',
      '"length"',
      '1',
      'true',
      '\\',
      ' ',
    );
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      fc.array(token, { maxLength: 200 }).map((tokens) => Buffer.from(tokens.join(''))),
    );
    await fc.assert(
      fc.asyncProperty(garbage, cutting, async (bytes, cuts) => {
        const reading = parseExtents(inPieces(bytes, cuts), 'zero');
        const end = await reading.catch((error: unknown) => error);
        if (end instanceof BackupError) expect(end.code).toBe('TRANSFER_BAD_EXTENTS');
        else expect(end).toMatchObject({ endBytes: expect.any(Number) as number });
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['nothing', ''],
    ['an object', '{"start":0,"length":512,"zero":true}'],
    ['an object that holds a list', '{"extents":[{"start":0,"length":512,"zero":true}]}'],
    ['a list of numbers', '[1,2,3]'],
    ['null', 'null'],
    ['a page', '<html><body>{}</body></html>'],
    ['a list that is never opened', '{"start":0,"length":512,"zero":true}]'],
    ['two lists', '[{"start":0,"length":512}][{"start":512,"length":512}]'],
    ['extents without commas', '[{"start":0,"length":512}{"start":512,"length":512}]'],
    ['garbage between extents', '[{"start":0,"length":512},xx,{"start":512,"length":512}]'],
    ['a nested extent', '[[{"start":0,"length":512}]]'],
    ['a text behind the list', '[{"start":0,"length":512}] and more'],
    ['a number as text', '[{"start":"0","length":512}]'],
    ['a fraction', '[{"start":0,"length":0.5}]'],
    ['a number beyond exact ones', '[{"start":0,"length":1e300}]'],
    ['a negative start', '[{"start":-512,"length":512}]'],
    ['no length', '[{"start":0}]'],
    ['a flag that is none', '[{"start":0,"length":512,"zero":1}]'],
  ])('refuses %s', async (_title, text) => {
    await expectCode(parse(text), 'TRANSFER_BAD_EXTENTS');
  });

  it('refuses an entry without end before it has come whole', async () => {
    let taken = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('[{"start":');
      for (; taken < 1000; taken++) yield Buffer.alloc(64 * 1024, '1');
    }

    await expectCode(parseExtents(endless(), 'zero'), 'TRANSFER_BAD_EXTENTS');

    expect(taken).toBe(0);
  });

  it('takes the lists of older servers', async () => {
    const text = '[{"start":0,"length":512,"dirty":true},{"start":512,"length":9,"dirty":false}]';

    expect(await parse(text, 'dirty')).toEqual([
      { offsetBytes: 0, lengthBytes: 512, zero: false, dirty: true },
      { offsetBytes: 512, lengthBytes: 9, zero: false, dirty: false },
    ]);
  });

  it('refuses a change map that does not say what has changed', async () => {
    await expectCode(
      parse('[{"start":0,"length":512,"zero":true}]', 'dirty'),
      'TRANSFER_BAD_EXTENTS',
    );
  });

  it('passes on what ends its input', async () => {
    await expect(parseExtents(failing(), 'zero')).rejects.toThrow(RangeError);
  });
});
