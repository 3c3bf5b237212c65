/** Keys of a sealed repository: who opens it, and with which key new files are sealed. */
import { UsageError } from '../../core/errors.ts';
import { openSealedPlace } from '../../repository/repository.ts';
import { readKeyFile, type SlotSecret } from '../../store/seal/keyFile.ts';
import {
  loadRing,
  readKeySecret,
  recipientsOf,
  recoveryFileOf,
  storeRing,
} from '../../store/seal/keyRing.ts';
import {
  addRecipient,
  addSecret,
  type OpenRing,
  removeSlot,
  rotateRing,
} from '../../store/seal/ringFile.ts';
import type { Store, StoreOptions } from '../../store/store.ts';

export interface KeysOptions {
  readonly repository: string;
  /** Its key file opens the repository: a generated key, a passphrase, or a recovery key. */
  readonly store: StoreOptions;
}

export interface AddKeyOptions extends KeysOptions {
  /** One more key file: a generated key or a passphrase. */
  readonly newKeyFile?: string | undefined;
  /** Public keys of age: `age1…`. */
  readonly recipients?: readonly string[] | undefined;
}

export interface RemoveKeyOptions extends KeysOptions {
  /** Id of a slot, as {@link listKeys} gives it. */
  readonly slot: string;
}

export interface RotateKeyOptions extends KeysOptions {
  /** Key file of another slot. */
  readonly newKeyFile?: string | undefined;
}

/** One way to open the repository. */
export interface KeySlotReport {
  readonly id: string;
  readonly type: 'passphrase' | 'generated' | 'recipient';
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** Of a recipient. */
  readonly recipient?: string | undefined;
  /** File at the root that the recipient decrypts with age. */
  readonly recoveryFile?: string | undefined;
  /** True when that file is gone. `key rotate` makes it again. */
  readonly isRecoveryFileMissing?: boolean | undefined;
}

export interface KeysReport {
  readonly type: 'keys';
  readonly repository: string;
  /** Oldest first. New files take the last one. */
  readonly keys: readonly { readonly id: string; readonly createdAt: string }[];
  readonly slots: readonly KeySlotReport[];
}

async function reportOf(base: Store, ring: OpenRing): Promise<KeysReport> {
  const files = recipientsOf(ring).map((slot) => recoveryFileOf(ring, slot));
  const present = await base.root.facts(files);
  const slots = ring.slots.map((slot): KeySlotReport => {
    const { id, type, createdAt } = slot;
    if (type !== 'recipient') return { id, type, createdAt };
    const recoveryFile = recoveryFileOf(ring, slot);
    const isRecoveryFileMissing = !present.has(recoveryFile);
    const { recipient } = slot;
    return { id, type, createdAt, recipient, recoveryFile, isRecoveryFileMissing };
  });
  const keys = ring.keys.map(({ id, createdAt }) => ({ id, createdAt }));
  return { type: 'keys', repository: base.name, keys, slots };
}

/**
 * Changes the ring under the lock of the root, so that two changes do not undo each other.
 *
 * @param change - gets the secret too that opened the ring; undefined for a recovery key.
 */
async function changeRing(
  { repository, store }: KeysOptions,
  change: (ring: OpenRing, secret: SlotSecret | undefined) => Promise<OpenRing>,
): Promise<KeysReport> {
  const base = await openSealedPlace(repository, store);
  try {
    const secret = await readKeySecret(base, store.keyFile);
    await using lock = await base.root.lock();
    const before = await loadRing(base, secret, true);
    const ring = await change(before, secret.kind === 'recovery' ? undefined : secret);
    await lock.assertHeld();
    await storeRing(base, ring, before);
    return await reportOf(base, ring);
  } finally {
    await base.close();
  }
}

async function readSecret(file: string): Promise<SlotSecret> {
  const secret = await readKeyFile(file);
  if (secret.kind !== 'recovery') return secret;
  throw new UsageError('USAGE_INVALID_OPTION', `${file} holds a recovery key`, {
    hint: 'name a generated key or a passphrase; for a recovery key of somebody, give --recipient',
  });
}

/** Keys and slots of a repository. Errors: as of a backup with a key file. */
export async function listKeys({ repository, store }: KeysOptions): Promise<KeysReport> {
  const base = await openSealedPlace(repository, store);
  try {
    const secret = await readKeySecret(base, store.keyFile);
    return await reportOf(base, await loadRing(base, secret, true));
  } finally {
    await base.close();
  }
}

/** Adds a key file, recipients, or both. All of them open all keys. */
export async function addKey(options: AddKeyOptions): Promise<KeysReport> {
  const { newKeyFile, recipients = [] } = options;
  if (newKeyFile === undefined && recipients.length === 0) {
    throw new UsageError('USAGE_INVALID_OPTION', 'nothing to add is given', {
      hint: 'give --new-key-file FILE or --recipient age1…',
    });
  }
  const secret = newKeyFile === undefined ? undefined : await readSecret(newKeyFile);
  return await changeRing(options, async (ring) => {
    let changed = secret === undefined ? ring : await addSecret(ring, secret);
    for (const recipient of recipients) changed = await addRecipient(changed, recipient);
    return changed;
  });
}

/**
 * Removes a slot. Who opened the repository with it before may have kept the keys: rotate them.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`; `USAGE_INVALID_OPTION` for the last slot
 */
export async function removeKey(options: RemoveKeyOptions): Promise<KeysReport> {
  return await changeRing(options, async (ring) => removeSlot(ring, options.slot));
}

/**
 * Makes a key for files that are written from now on. Older files keep theirs. Each slot of a key
 * file needs it: as the key file that opens the repository, or as `newKeyFile`.
 */
export async function rotateKey(options: RotateKeyOptions): Promise<KeysReport> {
  const { newKeyFile } = options;
  const other = newKeyFile === undefined ? [] : [await readSecret(newKeyFile)];
  return await changeRing(options, async (ring, secret) =>
    rotateRing(ring, secret === undefined ? other : [secret, ...other]),
  );
}
