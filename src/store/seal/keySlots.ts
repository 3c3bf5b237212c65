/**
 * Slots of a key ring: each holds all keys of the repository, closed for one passphrase or one
 * generated key, or names one recipient of age. No I/O.
 *
 * @see RFC 5869 HKDF; RFC 7914 scrypt; NIST SP 800-38D AES-GCM; https://age-encryption.org/v1
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
import { type BareKey, decodeRecoveryKey, encodeRecoveryKey, type SlotSecret } from './keyFile.ts';
import { deriveKey, KEY_BYTES } from './keys.ts';
import { NONCE_BYTES, TAG_BYTES } from './sealFormat.ts';

const ALGORITHM = 'aes-256-gcm';
const KDF_SALT_BYTES = 16;
const SLOT_ID_BYTES = 4;
/** 128 MiB of memory and about half a second for each try. */
export const SCRYPT_COST: number = 2 ** 17;
export const SCRYPT_BLOCK = 8;
export const SCRYPT_PARALLEL = 1;

const GENERATED_KEY_USE = 'ovirt-cbt generated key 1';

interface ClosedSlot {
  readonly id: string;
  readonly createdAt: string;
  /** Base64, like the other bytes here. */
  readonly nonce: string;
  /** The text of the recovery key, and its tag. */
  readonly wrapped: string;
}

export interface PassphraseSlot extends ClosedSlot {
  readonly type: 'passphrase';
  readonly kdf: {
    readonly name: 'scrypt';
    readonly N: number;
    readonly r: typeof SCRYPT_BLOCK;
    readonly p: typeof SCRYPT_PARALLEL;
    readonly salt: string;
  };
}

/** A generated key cannot be guessed, so nothing has to make guesses slow. */
export interface GeneratedSlot extends ClosedSlot {
  readonly type: 'generated';
  readonly kdf: { readonly name: 'hkdf-sha256'; readonly salt: string };
}

/** A slot that a key file opens. */
export type SecretSlot = PassphraseSlot | GeneratedSlot;

export interface RecipientSlot {
  readonly id: string;
  readonly type: 'recipient';
  readonly createdAt: string;
  readonly recipient: string;
}

export type KeySlot = SecretSlot | RecipientSlot;

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

function generatedKey(bytes: Buffer, { salt }: GeneratedSlot['kdf']): Buffer {
  return deriveKey(bytes, Buffer.from(salt, 'base64'), GENERATED_KEY_USE);
}

interface Closed {
  readonly nonce: string;
  readonly wrapped: string;
}

function closeKeys(keys: readonly BareKey[], id: string, key: Buffer): Closed {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce);
  cipher.setAAD(Buffer.from(id));
  const sealed = [cipher.update(encodeRecoveryKey(keys)), cipher.final(), cipher.getAuthTag()];
  const wrapped = Buffer.concat(sealed).toString('base64');
  return { nonce: nonce.toString('base64'), wrapped };
}

/**
 * Closes keys for a key file.
 *
 * @param old - slot whose id and date stay.
 * @param cost - N of scrypt. Tests make it small.
 */
export async function makeSecretSlot(
  keys: readonly BareKey[],
  secret: SlotSecret,
  old: { readonly id: string; readonly createdAt: string } = newSlot(),
  cost: number = SCRYPT_COST,
): Promise<SecretSlot> {
  const { id, createdAt } = old;
  const salt = randomBytes(KDF_SALT_BYTES).toString('base64');
  if (secret.kind === 'generated') {
    const kdf = { name: 'hkdf-sha256', salt } as const;
    const closed = closeKeys(keys, id, generatedKey(secret.bytes, kdf));
    return { id, type: 'generated', createdAt, kdf, ...closed };
  }
  const kdf = { name: 'scrypt', N: cost, r: SCRYPT_BLOCK, p: SCRYPT_PARALLEL, salt } as const;
  const closed = closeKeys(keys, id, await passphraseKey(secret.passphrase, kdf));
  return { id, type: 'passphrase', createdAt, kdf, ...closed };
}

async function keyOf(slot: SecretSlot, secret: SlotSecret): Promise<Buffer | undefined> {
  if (slot.type === 'generated') {
    return secret.kind === 'generated' ? generatedKey(secret.bytes, slot.kdf) : undefined;
  }
  if (secret.kind !== 'passphrase') return undefined;
  return await passphraseKey(secret.passphrase, slot.kdf);
}

/** The keys in a slot; undefined when it was closed with something else. */
export async function openSecretSlot(
  slot: SecretSlot,
  secret: SlotSecret,
): Promise<BareKey[] | undefined> {
  const wrapped = Buffer.from(slot.wrapped, 'base64');
  const nonce = Buffer.from(slot.nonce, 'base64');
  if (wrapped.length < TAG_BYTES || nonce.length !== NONCE_BYTES) return undefined;
  const key = await keyOf(slot, secret);
  if (!key) return undefined;
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
