/**
 * The file of the key ring at the root of a sealed repository, and changes of it. No I/O.
 *
 * The newest key authenticates the file. So nobody without the keys can add a recipient, who would
 * get the next key.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { IntegrityError, invariant, RepositoryError, UsageError } from '../../core/errors.ts';
import type { KeySecret, SlotSecret } from './keyFile.ts';
import { deriveKey, newRepositoryKey, type RepositoryKey } from './keys.ts';
import {
  type KeySlot,
  makeRecipientSlot,
  makeSecretSlot,
  openSecretSlot,
  SCRYPT_BLOCK,
  SCRYPT_PARALLEL,
  type SecretSlot,
} from './keySlots.ts';

const FORMAT = 'ovirt-cbt keys 1';
const RING_KEY_USE = 'ovirt-cbt key ring 1';
const MAX_KEYS = 1000;
const MAX_SLOTS = 100;

const base64 = z
  .string()
  .max(100_000)
  .regex(/^[\w+/]*=*$/);
const time = z.iso.datetime();
const slotId = z.string().regex(/^[0-9a-f]{8}$/);
/** A forged cost must not take all memory: 2^18 takes 256 MiB. */
const SCRYPT_COSTS = Array.from({ length: 9 }, (_, k) => 2 ** (k + 10));
const slotSchema: z.ZodType<KeySlot> = z.discriminatedUnion('type', [
  z.strictObject({
    id: slotId,
    type: z.literal('passphrase'),
    createdAt: time,
    kdf: z.strictObject({
      name: z.literal('scrypt'),
      N: z.literal(SCRYPT_COSTS),
      r: z.literal(SCRYPT_BLOCK),
      p: z.literal(SCRYPT_PARALLEL),
      salt: base64,
    }),
    nonce: base64,
    wrapped: base64,
  }),
  z.strictObject({
    id: slotId,
    type: z.literal('generated'),
    createdAt: time,
    kdf: z.strictObject({ name: z.literal('hkdf-sha256'), salt: base64 }),
    nonce: base64,
    wrapped: base64,
  }),
  z.strictObject({
    id: slotId,
    type: z.literal('recipient'),
    createdAt: time,
    recipient: z
      .string()
      .max(5000)
      .regex(/^age1[0-9a-z]+$/),
  }),
]);
const contentSchema = z.strictObject({
  format: z.literal(FORMAT),
  keys: z
    .array(z.strictObject({ id: z.string().regex(/^[0-9a-f]{24}$/), createdAt: time }))
    .min(1)
    .max(MAX_KEYS),
  slots: z.array(slotSchema).min(1).max(MAX_SLOTS),
});
const fileSchema = contentSchema.extend({ mac: base64 });

/** The file as it was read. Only what {@link openRing} returns can be trusted. */
export interface RingFile {
  readonly keys: readonly { readonly id: string; readonly createdAt: string }[];
  readonly slots: readonly KeySlot[];
  readonly mac: string;
}

/** A key ring that was opened. */
export interface OpenRing {
  /** Oldest first. */
  readonly keys: readonly RepositoryKey[];
  readonly slots: readonly KeySlot[];
}

/**
 * @param file - name for messages.
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID`
 */
export function decodeRing(text: string, file: string): RingFile {
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new RepositoryError('REPOSITORY_METADATA_INVALID', `${file} is not understood`, {
      cause: error,
      hint: 'without it nobody can read the repository; restore it from a copy',
    });
  }
}

/** The schema gives the fields their order, so equal contents have equal texts. */
function macOf({ keys, slots }: Pick<RingFile, 'keys' | 'slots'>, newest: RepositoryKey): Buffer {
  const text = JSON.stringify(contentSchema.parse({ format: FORMAT, keys, slots }));
  const key = deriveKey(newest.bytes, Buffer.alloc(0), RING_KEY_USE);
  return createHmac('sha256', key).update(text).digest();
}

export function encodeRing({ keys, slots }: OpenRing): string {
  const newest = keys.at(-1);
  invariant(newest, 'a key ring without keys');
  const content = { keys: keys.map(({ id, createdAt }) => ({ id, createdAt })), slots };
  const mac = macOf(content, newest).toString('base64');
  return `${JSON.stringify({ format: FORMAT, ...content, mac }, null, 2)}\n`;
}

function wrongKey(file: string, what: string, hint: string): RepositoryError {
  return new RepositoryError('REPOSITORY_KEY_WRONG', `${file}: ${what}`, { hint });
}

/** Keys by a key file, from the first slot that it opens. */
async function bareKeysOf(
  ring: RingFile,
  secret: KeySecret,
): Promise<readonly { id: string; bytes: Buffer }[] | undefined> {
  if (secret.kind === 'recovery') return secret.keys;
  for (const slot of ring.slots) {
    if (slot.type === 'recipient') continue;
    const keys = await openSecretSlot(slot, secret);
    if (keys) return keys;
  }
  return undefined;
}

/**
 * @param file - name for messages.
 * @throws {@link RepositoryError} `REPOSITORY_KEY_WRONG`
 * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN` when somebody without the keys changed it
 */
export async function openRing(ring: RingFile, secret: KeySecret, file: string): Promise<OpenRing> {
  const bare = await bareKeysOf(ring, secret);
  if (!bare) {
    const hint = 'name a key file that "ovirt-cbt key add" stored, or a recovery key';
    throw wrongKey(file, 'the key file does not open it', hint);
  }
  const isSame =
    bare.length === ring.keys.length && bare.every(({ id }, k) => id === ring.keys[k]?.id);
  if (!isSame) {
    const hint = 'decrypt the newest recovery file at the root of the repository';
    throw wrongKey(file, 'the key is of another repository, or of before the last rotation', hint);
  }
  const keys = bare.map(({ id, bytes }, k) => ({
    id,
    createdAt: ring.keys[k]?.createdAt ?? '',
    bytes,
  }));
  const newest = keys.at(-1);
  invariant(newest, 'a key ring without keys');
  const mac = Buffer.from(ring.mac, 'base64');
  const expected = macOf(ring, newest);
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) {
    throw new IntegrityError('INTEGRITY_SEAL_BROKEN', `${file}: was damaged or changed`, {
      hint: 'somebody may have added a recipient; restore it from a copy',
      details: { file },
    });
  }
  return { keys, slots: ring.slots };
}

/** The ring of a new repository. @param cost - N of scrypt */
export async function newRing(secret: SlotSecret, cost?: number): Promise<OpenRing> {
  const keys = [newRepositoryKey()];
  return { keys, slots: [await makeSecretSlot(keys, secret, undefined, cost)] };
}

function checkRoom({ slots }: OpenRing): void {
  if (slots.length < MAX_SLOTS) return;
  throw new UsageError('USAGE_INVALID_OPTION', `the key ring has ${MAX_SLOTS} slots already`, {
    hint: 'remove one with "ovirt-cbt key remove"',
  });
}

export async function addSecret(
  ring: OpenRing,
  secret: SlotSecret,
  cost?: number,
): Promise<OpenRing> {
  checkRoom(ring);
  const slot = await makeSecretSlot(ring.keys, secret, undefined, cost);
  return { ...ring, slots: [...ring.slots, slot] };
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for a bad one or one that is there */
export async function addRecipient(ring: OpenRing, recipient: string): Promise<OpenRing> {
  checkRoom(ring);
  if (ring.slots.some((slot) => slot.type === 'recipient' && slot.recipient === recipient)) {
    throw new UsageError('USAGE_INVALID_OPTION', `recipient ${recipient} is in the key ring`, {
      hint: 'see "ovirt-cbt key list"',
    });
  }
  return { ...ring, slots: [...ring.slots, await makeRecipientSlot(recipient)] };
}

/** @throws {@link UsageError} `USAGE_NOT_FOUND`, `USAGE_INVALID_OPTION` for the last slot */
export function removeSlot(ring: OpenRing, id: string): OpenRing {
  const slots = ring.slots.filter((slot) => slot.id !== id);
  if (slots.length === ring.slots.length) {
    throw new UsageError('USAGE_NOT_FOUND', `the key ring has no slot ${id}`, {
      hint: 'see "ovirt-cbt key list"',
    });
  }
  if (slots.length === 0) {
    throw new UsageError('USAGE_INVALID_OPTION', `slot ${id} is the last one`, {
      hint: 'without it nobody could read the repository; add another one first',
    });
  }
  return { ...ring, slots };
}

/**
 * Adds a key for new files. All slots get it. A slot of a key file needs that file for it.
 *
 * @param secrets - those that are known.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when the secret of a slot is not among them
 */
export async function rotateRing(
  ring: OpenRing,
  secrets: readonly SlotSecret[],
  cost?: number,
): Promise<OpenRing> {
  const keys = [...ring.keys, newRepositoryKey()];
  const slots: KeySlot[] = [];
  for (const slot of ring.slots) {
    if (slot.type === 'recipient') slots.push(slot);
    else slots.push(await makeSecretSlot(keys, await secretOf(slot, secrets), slot, cost));
  }
  return { keys, slots };
}

async function secretOf(slot: SecretSlot, secrets: readonly SlotSecret[]): Promise<SlotSecret> {
  for (const secret of secrets) {
    if (await openSecretSlot(slot, secret)) return secret;
  }
  throw new UsageError('USAGE_INVALID_OPTION', `the key file of slot ${slot.id} is not given`, {
    hint: 'give it too (--new-key-file), or remove the slot first and add it again later',
  });
}
