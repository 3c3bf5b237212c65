/** The key ring of a repository: made, opened and stored. */
import { RepositoryError, UsageError } from '../../core/errors.ts';
import type { Store } from '../store.ts';
import { type KeySecret, readKeyFile } from './keyFile.ts';
import { KeyRing } from './keys.ts';
import { encryptFor, type RecipientSlot } from './keySlots.ts';
import {
  decodeRing,
  encodeRing,
  newRing,
  type OpenRing,
  openRing,
  type RingFile,
} from './ringFile.ts';

/** Name of the file at the root of a sealed repository. */
export const RING_FILE = 'ovirt-cbt.keys.json';
const MAX_RING_BYTES = 16 * 1024 * 1024;

/** Name of the file at the root that a recipient can open. It holds all keys up to this one. */
export function recoveryFileOf(ring: OpenRing, slot: RecipientSlot): string {
  return `ovirt-cbt.key.${ring.keys.at(-1)?.id}.${slot.id}.age`;
}

export function recipientsOf({ slots }: OpenRing): RecipientSlot[] {
  return slots.filter((slot) => slot.type === 'recipient');
}

/** The ring file; undefined when the repository is not sealed. */
async function readRing(base: Store): Promise<RingFile | undefined> {
  const bytes = await base.root.readFile(RING_FILE, MAX_RING_BYTES);
  return bytes && decodeRing(bytes.toString('utf8'), base.root.pathOf(RING_FILE));
}

/**
 * @param isSealed - whether the marker of the repository says so.
 * @throws as {@link openKeyRing}
 */
export async function loadRing(
  base: Store,
  secret: KeySecret,
  isSealed = false,
): Promise<OpenRing> {
  const ring = await readRing(base);
  if (ring) return await openRing(ring, secret, base.root.pathOf(RING_FILE));
  if (isSealed) throw ringLost(base);
  throw new UsageError('USAGE_INVALID_OPTION', `repository ${base.name} is not sealed`, {
    hint: 'leave --key-file out, also as OVIRT_CBT_KEY_FILE; to seal it, copy it into a new repository with --to-key-file',
  });
}

/**
 * Stores a changed ring. Recovery files come first, so each recipient of the ring has one. Files of
 * an older ring are deleted last.
 */
export async function storeRing(base: Store, ring: OpenRing, before: OpenRing): Promise<void> {
  const { root } = base;
  const old = recipientsOf(before).map((slot) => recoveryFileOf(before, slot));
  const needed = recipientsOf(ring).map((slot) => recoveryFileOf(ring, slot));
  const present = new Set((await root.facts(needed)).keys());
  for (const slot of recipientsOf(ring)) {
    const fileName = recoveryFileOf(ring, slot);
    if (present.has(fileName)) continue;
    await root.writeFile(fileName, await encryptFor(slot.recipient, ring.keys));
  }
  await root.writeFile(RING_FILE, encodeRing(ring));
  const unused = old.filter((fileName) => !needed.includes(fileName));
  if (unused.length > 0) await root.remove(unused);
}

/**
 * Makes a repository sealed, before its first file is written.
 *
 * @param keyFile - path of a file with a generated key or a passphrase.
 * @param cost - N of scrypt. Tests make it small.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a recovery key
 * @throws {@link RepositoryError} `REPOSITORY_LOCKED` when another process was faster
 */
export async function createKeyRing(base: Store, keyFile: string, cost?: number): Promise<KeyRing> {
  const secret = await readKeyFile(keyFile);
  if (secret.kind === 'recovery') {
    throw new UsageError('USAGE_INVALID_OPTION', 'a recovery key seals no new repository', {
      hint: 'make a key file by: ovirt-cbt key new FILE',
    });
  }
  const ring = await newRing(secret, cost);
  if (await base.root.createFile(RING_FILE, encodeRing(ring))) return new KeyRing(ring.keys);
  throw new RepositoryError('REPOSITORY_LOCKED', `${base.name}: another process is sealing it`, {
    hint: 'run the command again',
  });
}

/**
 * Opens the keys of a repository. Nothing is written.
 *
 * @param keyFile - path of a file with a generated key, a passphrase or a recovery key.
 * @param isSealed - whether the marker of the repository says so.
 * @throws {@link RepositoryError} `REPOSITORY_KEY_MISSING`, `REPOSITORY_KEY_WRONG`,
 *   `REPOSITORY_METADATA_INVALID`
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a bad key file, or one that is not needed
 * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN` when the ring was changed
 */
export async function openKeyRing(
  base: Store,
  keyFile: string | undefined,
  isSealed: boolean,
): Promise<KeyRing> {
  const secret = await readKeySecret(base, keyFile);
  const { keys } = await loadRing(base, secret, isSealed);
  if (!isSealed) throw markerDiffers(base);
  return new KeyRing(keys);
}

/**
 * What the key file of a sealed repository holds.
 *
 * @throws {@link RepositoryError} `REPOSITORY_KEY_MISSING`
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export async function readKeySecret(base: Store, keyFile: string | undefined): Promise<KeySecret> {
  if (keyFile !== undefined) return await readKeyFile(keyFile);
  throw new RepositoryError('REPOSITORY_KEY_MISSING', `repository ${base.name} is sealed`, {
    hint: 'name its key file or a recovery key with --key-file or OVIRT_CBT_KEY_FILE',
  });
}

/** Sealed files among open ones would need the key for some VMs and refuse it for others. */
function markerDiffers(base: Store): RepositoryError {
  const what = `repository ${base.name} has keys, but its marker says that it is not sealed`;
  return new RepositoryError('REPOSITORY_METADATA_INVALID', what, {
    hint: 'restore ovirt-cbt.json from a copy; if it never was sealed, leave the key file out',
  });
}

function ringLost(base: Store): RepositoryError {
  const file = base.root.pathOf(RING_FILE);
  return new RepositoryError('REPOSITORY_KEY_WRONG', `${file} is missing; it holds the keys`, {
    hint: 'copy the file back from another place; without it nobody can open this repository',
  });
}
