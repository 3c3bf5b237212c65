/**
 * Versions that this process wrote in a bucket that keeps old versions. A file that this process
 * made and replaced is deleted with all of them by one request, and nothing is left of it.
 */

/** Server answer for an object of a bucket without versions. */
const NO_VERSION = 'null';
/** Of files that are replaced for weeks the server tells the versions. */
const MAX_VERSIONS = 900;

export class VersionNotes {
  /** True when an answer named a version. */
  isVersioned = false;
  /** By key. A key is here while no other version can lie below these. */
  readonly #notes = new Map<string, string[]>();

  see(versionId: string | undefined): void {
    if (versionId !== undefined && versionId !== NO_VERSION) this.isVersioned = true;
  }

  /** @param isFirst - true when it is certain that there was no object of this name. */
  add(key: string, versionId: string | undefined, isFirst: boolean): void {
    this.see(versionId);
    if (versionId === undefined || versionId === NO_VERSION) return;
    const note = this.#notes.get(key);
    if (isFirst) this.#notes.set(key, [versionId]);
    else if (note && note.length < MAX_VERSIONS) note.push(versionId);
    else this.#notes.delete(key);
  }

  /** All versions of an object; undefined when only the server knows them. */
  completeOf(key: string): readonly string[] | undefined {
    return this.#notes.get(key);
  }

  forget(key: string): void {
    this.#notes.delete(key);
  }
}
