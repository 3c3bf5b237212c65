/**
 * The file that opens a sealed repository: a generated key, a passphrase, or a recovery key.
 *
 * A generated key is one line, `ovirt-cbt-key-1:` and 32 random bytes in base64url. A recovery key
 * holds the keys of the repository themselves, as text:
 *
 * ```
 * ovirt-cbt recovery key 1
 * <key id> <key in base64>
 * ```
 *
 * with one line a key, oldest first.
 */
import { isUtf8 } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { isPrivateFile } from '../privateFile.ts';
import { KEY_BYTES } from './keys.ts';
import { KEY_ID_BYTES } from './sealFormat.ts';

const MAX_FILE_BYTES = 64 * 1024;
const MIN_PASSPHRASE_CHARACTERS = 8;
const GENERATED_FAMILY = 'ovirt-cbt-key-';
const GENERATED_TITLE = `${GENERATED_FAMILY}1:`;
const RECOVERY_TITLE = 'ovirt-cbt recovery key 1';

/** Id and bytes of a repository key. */
export interface BareKey {
  /** Hex. */
  readonly id: string;
  readonly bytes: Buffer;
}

/** What a slot of the key ring is closed with. */
export type SlotSecret =
  | { readonly kind: 'passphrase'; readonly passphrase: string }
  | { readonly kind: 'generated'; readonly bytes: Buffer };

export type KeySecret =
  | SlotSecret
  | { readonly kind: 'recovery'; readonly keys: readonly BareKey[] };

/** Text of a new key file. It is secret. */
export function generateKeyFile(): string {
  return `${GENERATED_TITLE}${randomBytes(KEY_BYTES).toString('base64url')}\n`;
}

function decodeGenerated(line: string): Buffer | undefined {
  if (!line.startsWith(GENERATED_TITLE)) return undefined;
  const text = line.slice(GENERATED_TITLE.length);
  const bytes = Buffer.from(text, 'base64url');
  // Decoding skips what is no base64url. Only a text that comes back is whole.
  const isWhole = bytes.length === KEY_BYTES && bytes.toString('base64url') === text;
  return isWhole ? bytes : undefined;
}

export function encodeRecoveryKey(keys: readonly BareKey[]): string {
  const lines = keys.map(({ id, bytes }) => `${id} ${bytes.toString('base64')}`);
  return [RECOVERY_TITLE, ...lines, ''].join('\n');
}

/** @returns undefined when the text is no recovery key that we know */
export function decodeRecoveryKey(text: string): BareKey[] | undefined {
  const [title, ...lines] = text.trimEnd().split(/\r?\n/);
  if (title !== RECOVERY_TITLE || lines.length === 0) return undefined;
  const keys: BareKey[] = [];
  for (const line of lines) {
    const [, id = '', base64 = ''] = /^([0-9a-f]+) ([\w+/]+=*)$/.exec(line) ?? [];
    const bytes = Buffer.from(base64, 'base64');
    if (id.length !== 2 * KEY_ID_BYTES || bytes.length !== KEY_BYTES) return undefined;
    keys.push({ id, bytes });
  }
  return keys;
}

function unusable(what: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', what, { hint });
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function decodeKeyFile(bytes: Buffer, file: string): KeySecret {
  // Bytes that are no text would all become the same letter, and other files would open the seal.
  if (bytes.includes(0) || !isUtf8(bytes)) {
    const hint = 'make a key file by: ovirt-cbt key new FILE';
    throw unusable(`key file ${file} is not UTF-8 text`, hint);
  }
  const text = bytes.toString('utf8').replace(/^\uFEFF/, '');
  if (text.startsWith(RECOVERY_TITLE)) {
    const keys = decodeRecoveryKey(text);
    if (keys) return { kind: 'recovery', keys };
    throw unusable(
      `recovery key ${file} is not understood`,
      'decrypt it again: age -d -i IDENTITY ovirt-cbt.key.ID.age',
    );
  }
  const passphrase = text.replace(/\r?\n$/, '');
  if (passphrase.startsWith(GENERATED_FAMILY)) {
    const key = decodeGenerated(passphrase);
    if (key) return { kind: 'generated', bytes: key };
    const hint =
      'it is damaged, or of a later version of the product; copy it again from a safe place';
    throw unusable(`the generated key in key file ${file} is not understood`, hint);
  }
  if (/[\r\n]/.test(passphrase)) {
    throw unusable(`key file ${file} has several lines`, 'a passphrase is one line');
  }
  if (passphrase.length < MIN_PASSPHRASE_CHARACTERS) {
    throw unusable(
      `the passphrase in key file ${file} has fewer than ${MIN_PASSPHRASE_CHARACTERS} characters`,
      'take a long one, or make a key file by: ovirt-cbt key new FILE',
    );
  }
  return { kind: 'passphrase', passphrase };
}

/** Reads one byte more than the limit at most. A pipe tells no size. */
async function readSome(handle: FileHandle): Promise<Buffer> {
  const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return bytes.subarray(0, length);
}

/**
 * Reads a key file. Others must not be able to read it, as {@link isPrivateFile} tells. A pipe, for
 * example from `<(command)` in a shell, belongs to this process alone.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export async function readKeyFile(file: string): Promise<KeySecret> {
  const bytes = await readPrivate(file).catch((error: unknown) => {
    if (error instanceof UsageError) throw error;
    const reason = plainReason(errnoOf(error) ?? 'cannot be read');
    throw unusable(`key file ${file}: ${reason}`, 'check its name');
  });
  if (bytes.length > MAX_FILE_BYTES)
    throw unusable(`key file ${file} is too large`, 'check its name');
  return decodeKeyFile(bytes, file);
}

async function readPrivate(file: string): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const info = await handle.stat();
    if (info.isFile() && !isPrivateFile(info, process.getuid?.())) {
      throw unusable(
        `key file ${file} can be read or changed by other users`,
        `run: chmod 600 ${file}; a mounted secret needs mode 0400, 0440 or 0444 and the owner root or this user`,
      );
    }
    return await readSome(handle);
  } finally {
    await handle.close();
  }
}
