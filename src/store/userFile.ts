/** Small text files that a user names: settings, secrets, lists. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { errnoOf, UsageError } from '../core/errors.ts';
import { plainReason } from '../core/errorWords.ts';
import { isPrivateFile } from './privateFile.ts';

/** Name of a file that stands for stdin. */
export const STDIN = '-';

/** Most bytes of a file with a secret, a certificate or settings. */
export const MAX_SETTINGS_BYTES: number = 64 * 1024;

function unusable(what: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', what, { hint });
}

/**
 * The text of a file that editors may have saved, without a byte order mark.
 *
 * @param what - the file, as the message names it.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for UTF-16, which Windows writes with `>`
 */
function decodeText(bytes: Buffer, what: string): string {
  const isUtf16 = /^(fffe|feff)/.test(bytes.toString('hex', 0, 2));
  if (isUtf16 || bytes.includes(0)) {
    throw unusable(`${what} is not UTF-8 text`, 'it looks like UTF-16: save it as UTF-8');
  }
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}

/** Reads one byte more than `maxBytes` at most. That is enough to see that a text is too large. */
async function readSome(file: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
  const input: Readable = file === STDIN ? process.stdin : createReadStream(file);
  const pieces: Buffer[] = [];
  let leftBytes = maxBytes + 1;
  // Otherwise Ctrl-C would wait for the end of the input.
  if (signal) addAbortSignal(signal, input);
  for await (const piece of input as AsyncIterable<Buffer>) {
    pieces.push(piece.subarray(0, leftBytes));
    leftBytes -= piece.length;
    if (leftBytes <= 0) break;
  }
  return Buffer.concat(pieces);
}

/**
 * Reads a text file, or stdin for {@link STDIN}.
 *
 * @param what - the kind of file, as messages name it.
 * @param signal - ends the wait for stdin or for the writer of a named pipe.
 * @param largeHint - advice for a file that is too large.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when it cannot be read, is larger than
 *   `maxBytes`, or is no UTF-8 text
 */
export async function readUserFile(
  file: string,
  what: string,
  maxBytes: number,
  signal?: AbortSignal,
  largeHint = 'check its name',
): Promise<string> {
  const name = file === STDIN ? `${what} on stdin` : `${what} ${file}`;
  const bytes = await readSome(file, maxBytes, signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    const reason = plainReason(errnoOf(error) ?? 'cannot be read');
    throw unusable(`${name}: ${reason}`, 'check its name');
  });
  if (bytes.length > maxBytes) throw unusable(`${name} is too large`, largeHint);
  return decodeText(bytes, name);
}

/**
 * Reads a secret of one line, without the line break at its end. Others must not be able to read
 * or change its file, as {@link isPrivateFile} tells.
 *
 * @param what - the kind of file, as messages name it.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` as {@link readUserFile}, and for a file that is
 *   not private
 */
export async function readSecretFile(
  file: string,
  what: string,
  signal?: AbortSignal,
): Promise<string> {
  const text = await readUserFile(file, what, MAX_SETTINGS_BYTES, signal);
  const info = file === STDIN ? undefined : await stat(file);
  // A pipe, for example from `<(command)` in a shell, belongs to this process alone.
  if (info?.isFile() && !isPrivateFile(info, process.getuid?.())) {
    throw unusable(
      `${what} ${file} can be read or changed by other users`,
      `run: chmod 600 ${file}; a secret mounted into a container needs mode 0400, 0440 or 0444 and the owner root or this user (Kubernetes: defaultMode: 0440)`,
    );
  }
  return text.replace(/\r?\n$/, '');
}

/** Reads the certificate of a CA. Whether it is one, its user checks. */
export async function readCaFile(
  file: string,
  owner: string,
  signal?: AbortSignal,
): Promise<string> {
  const hint = `name only the CA certificate of ${owner}, not the bundle of the system`;
  return await readUserFile(file, 'CA file', MAX_SETTINGS_BYTES, signal, hint);
}
