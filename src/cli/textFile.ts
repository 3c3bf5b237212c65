/** Small text files that a user names: settings, secrets, lists. */
import { readFile, stat } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { errnoOf, UsageError } from '../core/errors.ts';
import { plainReason } from '../core/errorWords.ts';

/** Name of a file that stands for stdin. */
export const STDIN = '-';

function unusable(what: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', what, { hint });
}

/**
 * The text of a file that editors may have saved, without a byte order mark.
 *
 * @param what - the file, as the message names it.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for UTF-16, which Windows writes with `>`
 */
export function decodeText(bytes: Buffer, what: string): string {
  const isUtf16 = /^(fffe|feff)/.test(bytes.toString('hex', 0, 2));
  if (isUtf16 || bytes.includes(0)) {
    throw unusable(`${what} is not UTF-8 text`, 'it looks like UTF-16: save it as UTF-8');
  }
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}

async function readStdin(signal: AbortSignal | undefined): Promise<Buffer> {
  const pieces: Buffer[] = [];
  // Otherwise Ctrl-C would wait for the end of the input.
  if (signal) addAbortSignal(signal, process.stdin);
  for await (const piece of process.stdin as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

/**
 * Reads a text file, or stdin for {@link STDIN}.
 *
 * @param what - the kind of file, as messages name it.
 * @param signal - ends the wait for stdin.
 * @param largeHint - advice for a file that is too large.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when it cannot be read, is larger than
 *   `maxBytes`, or is no UTF-8 text
 */
export async function readTextFile(
  file: string,
  what: string,
  maxBytes: number,
  signal?: AbortSignal,
  largeHint = 'check its name',
): Promise<string> {
  const name = `${what} ${file}`;
  if (file === STDIN) return decodeText(await readStdin(signal), `${what} on stdin`);
  try {
    const { size } = await stat(file);
    if (size > maxBytes) throw unusable(`${name} is too large`, largeHint);
    return decodeText(await readFile(file), name);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const reason = plainReason(errnoOf(error) ?? 'cannot be read');
    throw unusable(`${name}: ${reason}`, 'check its name');
  }
}
