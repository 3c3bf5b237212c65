/**
 * Finds the implementation for the place of a repository. Code for buckets and for sealing is
 * loaded only where it is needed.
 */
import { RepositoryError, UsageError } from '../core/errors.ts';
import { DiskStore } from './folder/diskStore.ts';
import { isS3Location, parseS3Location } from './s3/location.ts';
import type { Store, StoreOptions } from './store.ts';

/** Names of the files at the root that hold keys begin with it. */
const KEY_FILES = /^ovirt-cbt\.keys?\./;
const MAX_LOCK_MS = 36_525 * 86_400_000;
const URL_LIKE = /^(?:s3:|[a-z][a-z\d+.-]*:\/\/)/i;

/**
 * Opens the place of a repository, without its seal. The caller closes it.
 *
 * @param place - folder, or `s3://bucket/prefix`.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`; {@link RepositoryError}
 *   `REPOSITORY_UNSUPPORTED` and what the place throws
 */
export async function openStore(place: string, options: StoreOptions): Promise<Store> {
  if (!isS3Location(place)) {
    refuseUrl(place);
    refuseBucketOptions(place, options);
    return new DiskStore(place);
  }
  checkPeriod(options);
  const { openS3Store } = await import('./s3/s3Store.ts');
  return await openS3Store(parseS3Location(place), options);
}

/** A mistyped location must not become a folder here, far from the place that was meant. */
function refuseUrl(place: string): void {
  const start = URL_LIKE.exec(place)?.[0];
  if (start === undefined) return;
  // The rest may hold a password, so it is not shown.
  throw new UsageError('USAGE_INVALID_OPTION', `a repository cannot begin with "${start}"`, {
    hint: 'write s3://BUCKET/PATH for a bucket, or the path of a folder; ./ in front makes any name a folder',
  });
}

/** A lock cannot be taken back, so a slip must not make it endless. */
function checkPeriod({ immutable }: StoreOptions): void {
  if (immutable === undefined) return;
  const { periodMs } = immutable;
  if (Number.isSafeInteger(periodMs) && periodMs > 0 && periodMs <= MAX_LOCK_MS) return;
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    '--immutable: the span of a lock is not between 1 ms and 100 years',
    { hint: 'give a shorter span such as 30d; nobody can end a lock before its time' },
  );
}

/** A cache may be set for all commands by a variable, so it is not refused. */
function refuseBucketOptions(place: string, { immutable, noLock }: StoreOptions): void {
  const option = immutable ? '--immutable' : noLock ? '--no-lock' : undefined;
  if (option === undefined) return;
  throw new UsageError('USAGE_INVALID_OPTION', `${option}: ${place} is a folder`, {
    hint: `${option} needs a repository in a bucket: s3://bucket/prefix`,
  });
}

/**
 * Opens the seal of a place.
 *
 * @param isSealed - as the marker of the repository says.
 * @throws {@link RepositoryError} `REPOSITORY_KEY_MISSING`, `REPOSITORY_KEY_WRONG`;
 *   {@link UsageError} `USAGE_INVALID_OPTION` for a key file that is not needed or not usable
 */
export async function openSeal(
  base: Store,
  isSealed: boolean,
  { keyFile }: StoreOptions,
): Promise<Store> {
  if (!isSealed && keyFile === undefined) return base;
  const { openKeyRing } = await import('./seal/keyRing.ts');
  const keys = await openKeyRing(base, keyFile, isSealed);
  const { sealStore } = await import('./seal/sealStore.ts');
  return sealStore(base, keys);
}

/**
 * Makes keys for a new repository. Without a key file it is not sealed.
 *
 * @throws as {@link openSeal}; `REPOSITORY_KEY_MISSING` too where a session began to seal it
 */
export async function makeSeal(base: Store, { keyFile }: StoreOptions): Promise<Store> {
  if (keyFile === undefined) {
    if ((await base.root.fileNames()).some(isKeyFile)) throw sealBegun(base);
    return base;
  }
  const { createKeyRing, openKeyRing, RING_FILE } = await import('./seal/keyRing.ts');
  const { sealStore } = await import('./seal/sealStore.ts');
  // A first session that was stopped may have left a ring. Its key file still counts.
  const isThere = (await base.root.facts([RING_FILE])).size > 0;
  const keys = isThere
    ? await openKeyRing(base, keyFile, true)
    : await createKeyRing(base, keyFile);
  return sealStore(base, keys);
}

function sealBegun({ name }: Store): RepositoryError {
  return new RepositoryError('REPOSITORY_KEY_MISSING', `${name}: a session began to seal it`, {
    hint: 'give its key file (--key-file); or delete its files ovirt-cbt.key*, nothing is sealed yet',
  });
}

/** True for files of keys. A place that has only these is no repository yet. */
export function isKeyFile(fileName: string): boolean {
  return KEY_FILES.test(fileName);
}
