/**
 * Format versions of containers that others wrote, and how they differ from version 13. Seen in
 * genuine files: 9 and 13. Versions 10 and 11 are read as 9 and version 12 as 13, which is
 * inferred; checksums and digests tell when that is wrong. Sources: docs/format-vbk.md, "Containers
 * of others".
 */

const OLDEST_VERSION = 9;
const NEWEST_VERSION = 13;
const SEEN_VERSIONS: ReadonlySet<number> = new Set([9, 13]);

/** Hint of an error about a file whose data this product cannot read. */
export const UNSUPPORTED_HINT = 'restore it with the software that wrote it';

/** How the pages of a vector are found: by tables of page ids, or by a link in each page. */
export type VectorForm = 'tables' | 'linked';

export function isReadableVersion(version: number): boolean {
  return version >= OLDEST_VERSION && version <= NEWEST_VERSION;
}

/** False for a version of which no file is known. */
export function isSeenVersion(version: number): boolean {
  return SEEN_VERSIONS.has(version);
}

/**
 * True for versions before 12. Their vectors are linked pages, their slots tell the number of
 * banks, and their banks may have more than one page to spare.
 */
export function isOldVersion(version: number): boolean {
  return version < 12;
}

export function vectorFormOf(version: number): VectorForm {
  return isOldVersion(version) ? 'linked' : 'tables';
}

/** Most banks that a slot of an old version may have room for. */
export const OLD_MAX_BANKS = 0xffa0;
/** Room for banks to try when the first slot of an old version is damaged. The last was seen. */
export const OLD_BANK_GUESSES: readonly number[] = [0x7f00, 0xba0];
/** Most pages of a bank of an old version: 1281 were seen for 1024 that are in use. */
export const OLD_BANK_MAX_PAGES = 2048;
