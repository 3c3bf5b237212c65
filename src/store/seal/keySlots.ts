/**
 * Slots of a key ring: each holds all keys of the repository, closed for one passphrase, or names
 * one recipient of age. No I/O.
 *
 * @see RFC 7914 scrypt; NIST SP 800-38D AES-GCM; https://age-encryption.org/v1
 */
import {
  createCipheriv,
  createDecipheriv,
  randomBytes,
  scrypt,
  type ScryptOptions,
} from 'node:crypto';
import { promisify } from 'node:util';
import { UsageError } from '../../core/errors.ts';
import { type BareKey, decodeRecoveryKey, encodeRecoveryKey } from './keyFile.ts';
import { KEY_BYTES } from './keys.ts';
import { NONCE_BYTES, TAG_BYTES } from './sealFormat.ts';

const ALGORITHM = 'aes-256-gcm';
const KDF_SALT_BYTES = 16;
const SLOT_ID_BYTES = 4;
/** 128 MiB of memory and about half a second for each try. */
export const SCRYPT_COST: number = 2 ** 17;
export const SCRYPT_BLOCK = 8;
export const SCRYPT_PARALLEL = 1;

export interface PassphraseSlot {
  readonly id: string;
  readonly type: 'passphrase';
  readonly createdAt: string;
  readonly kdf: {
    readonly name: 'scrypt';
    readonly N: number;
    readonly r: typeof SCRYPT_BLOCK;
    readonly p: typeof SCRYPT_PARALLEL;
    /** Base64, like the other bytes here. */
    readonly salt: string;
  };
  readonly nonce: string;
  /** The text of the recovery key, and its tag. */
  readonly wrapped: string;
}

export interface RecipientSlot {
  readonly id: string;
  readonly type: 'recipient';
  readonly createdAt: string;
  readonly recipient: string;
}

export type KeySlot = PassphraseSlot | RecipientSlot;

function newSlot(): { id: string; createdAt: string } {
  return { id: randomBytes(SLOT_ID_BYTES).toString('hex'), createdAt: new Date().toISOString() };
}

const scryptAsync: (
  passphrase: string,
  salt: Buffer,
  bytes: number,
  options: ScryptOptions,
) => Promise<Buffer> = promisify(scrypt);

async function passphraseKey(passphrase: string, kdf: PassphraseSlot['kdf']): Promise<Buffer> {
  const { N, r, p } = kdf;
  const salt = Buffer.from(kdf.salt, 'base64');
  // Editors and terminals write the same letter in several ways.
  const text = passphrase.normalize('NFC');
  return await scryptAsync(text, salt, KEY_BYTES, { N, r, p, maxmem: 256 * N * r });
}

/**
 * Closes keys for a passphrase.
 *
 * @param old - slot whose id and date stay.
 * @param cost - N of scrypt. Tests make it small.
 */
export async function makePassphraseSlot(
  keys: readonly BareKey[],
  passphrase: string,
  old: { readonly id: string; readonly createdAt: string } = newSlot(),
  cost: number = SCRYPT_COST,
): Promise<PassphraseSlot> {
  const { id, createdAt } = old;
  const salt = randomBytes(KDF_SALT_BYTES).toString('base64');
  const kdf = { name: 'scrypt', N: cost, r: SCRYPT_BLOCK, p: SCRYPT_PARALLEL, salt } as const;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, await passphraseKey(passphrase, kdf), nonce);
  cipher.setAAD(Buffer.from(id));
  const sealed = [cipher.update(encodeRecoveryKey(keys)), cipher.final(), cipher.getAuthTag()];
  const wrapped = Buffer.concat(sealed).toString('base64');
  return { id, type: 'passphrase', createdAt, kdf, nonce: nonce.toString('base64'), wrapped };
}

/** The keys in a slot; undefined when the passphrase is not that of the slot. */
export async function openPassphraseSlot(
  slot: PassphraseSlot,
  passphrase: string,
): Promise<BareKey[] | undefined> {
  const wrapped = Buffer.from(slot.wrapped, 'base64');
  const nonce = Buffer.from(slot.nonce, 'base64');
  if (wrapped.length < TAG_BYTES || nonce.length !== NONCE_BYTES) return undefined;
  const key = await passphraseKey(passphrase, slot.kdf);
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(slot.id));
  decipher.setAuthTag(wrapped.subarray(wrapped.length - TAG_BYTES));
  try {
    const text = [
      decipher.update(wrapped.subarray(0, wrapped.length - TAG_BYTES)),
      decipher.final(),
    ];
    return decodeRecoveryKey(Buffer.concat(text).toString('utf8'));
  } catch {
    return undefined;
  }
}

type Age = typeof import('age-encryption');

/** @throws {@link UsageError} `TOOL_MISSING` */
async function loadAge(): Promise<Age> {
  try {
    return await import('age-encryption');
  } catch (error) {
    throw new UsageError('TOOL_MISSING', 'recipients need the package age-encryption', {
      cause: error,
      hint: 'run: npm install age-encryption',
    });
  }
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` when it is no recipient of age */
export async function makeRecipientSlot(recipient: string): Promise<RecipientSlot> {
  await encryptFor(recipient, []);
  return { ...newSlot(), type: 'recipient', recipient };
}

/** The recovery key as a file that `age -d -i IDENTITY` opens: ASCII armor. */
export async function encryptFor(recipient: string, keys: readonly BareKey[]): Promise<string> {
  const age = await loadAge();
  const encrypter = new age.Encrypter();
  try {
    encrypter.addRecipient(recipient);
  } catch (error) {
    throw new UsageError('USAGE_INVALID_OPTION', `"${recipient}" is no recipient of age`, {
      cause: error,
      hint: 'name the public key that age-keygen printed; it begins with age1',
    });
  }
  return age.armor.encode(await encrypter.encrypt(encodeRecoveryKey(keys)));
}
