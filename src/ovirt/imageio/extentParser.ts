/**
 * Parses imageio's list of extents piece by piece: one answer may be hundreds of MiB long.
 *
 * @see ovirt-imageio docs/images.md: an extent has `start`, `length`, `zero`, `hole` and, in the
 *   dirty context, `dirty`. Older servers omit `hole`, or `zero` in dirty lists.
 */
import { z } from 'zod';
import { TransferError } from '../../core/errors.ts';
import type { Extent } from '../../flow/records.ts';
import { ExtentList } from './extentList.ts';

const MAX_OBJECT_CHARS = 1000;

/** Text before, between and after the objects. */
const LIST_BEGIN = /^\s*\[\s*$/;
const BETWEEN = /^\s*,\s*$/;
const LIST_END = /^\s*\]\s*$/;
const EMPTY_LIST = /^\s*\[\s*\]\s*$/;

const wireExtent = z.object({
  start: z.number().int().nonnegative(),
  length: z.number().int().positive(),
  zero: z.boolean().default(false),
  dirty: z.boolean().optional(),
});

function bad(reason: string): TransferError {
  return new TransferError('TRANSFER_BAD_EXTENTS', `list of extents: ${reason}`, {
    hint: 'report it with the version of ovirt-imageio; nothing was stored',
  });
}

function parseObject(text: string, context: 'zero' | 'dirty'): Extent {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw bad('an entry is no valid JSON');
  }
  const parsed = wireExtent.safeParse(data);
  if (!parsed.success) throw bad('an entry is not understood');
  const { start: offsetBytes, length: lengthBytes, zero, dirty } = parsed.data;
  if (context === 'zero') return { offsetBytes, lengthBytes, zero };
  if (dirty === undefined) throw bad('an entry does not say whether it is dirty');
  return { offsetBytes, lengthBytes, zero, dirty };
}

/**
 * Parses a list of extents.
 *
 * @throws {@link TransferError} `TRANSFER_BAD_EXTENTS`; errors of `body`
 */
export async function parseExtents(
  body: AsyncIterable<Uint8Array>,
  context: 'zero' | 'dirty',
): Promise<ExtentList> {
  const list = new ExtentList();
  let rest = '';
  for await (const piece of body) {
    rest += Buffer.from(piece).toString('latin1');
    let from = 0;
    for (let end = rest.indexOf('}'); end >= 0; end = rest.indexOf('}', from)) {
      const start = rest.indexOf('{', from);
      const before = list.count === 0 ? LIST_BEGIN : BETWEEN;
      if (start < 0 || !before.test(rest.slice(from, start))) throw bad('it is no list of objects');
      list.append(parseObject(rest.slice(start, end + 1), context));
      from = end + 1;
    }
    rest = rest.slice(from);
    if (rest.length > MAX_OBJECT_CHARS) throw bad('an entry does not end');
  }
  if (!(list.count === 0 ? EMPTY_LIST : LIST_END).test(rest)) throw bad('the list ends too early');
  return list;
}
