/** Repository keys in memory, and the keys of files that follow from them. */
import { hkdfSync, randomBytes } from 'node:crypto';
import { invariant } from '../../core/errors.ts';
import { ChunkCipher } from './chunkCipher.ts';
import {
  decodeHeader,
  encodeHeader,
  KEY_ID_BYTES,
  type Magic,
  SALT_BYTES,
  sealBroken,
} from './sealFormat.ts';

export const KEY_BYTES = 32;
const FILE_KEY_USE = 'ovirt-cbt sealed file 1';

/** One key of a repository. */
export interface RepositoryKey {
  /** Hex. */
  readonly id: string;
  readonly createdAt: string;
  readonly bytes: Buffer;
}

export function newRepositoryKey(): RepositoryKey {
  return {
    id: randomBytes(KEY_ID_BYTES).toString('hex'),
    createdAt: new Date().toISOString(),
    bytes: randomBytes(KEY_BYTES),
  };
}

/** HKDF-SHA-256 (RFC 5869). The texts of `uses` hold no NUL, so no two lists give the same info. */
export function deriveKey(key: Buffer, salt: Buffer, ...uses: readonly string[]): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, uses.join('\0'), KEY_BYTES));
}

/** What the cipher of a file depends on beside its header. */
export interface FilePlace {
  /** Name for messages. */
  readonly file: string;
  readonly folder: string;
  readonly fileName: string;
}

/** The open keys of a repository. New files take the newest one. */
export class KeyRing {
  /** Oldest first. */
  readonly keys: readonly RepositoryKey[];
  #isClosed = false;

  /** @param keys - oldest first, at least one. They belong to the ring. */
  constructor(keys: readonly RepositoryKey[]) {
    this.keys = keys;
  }

  get newest(): RepositoryKey {
    const key = this.keys.at(-1);
    invariant(key && !this.#isClosed, 'a key ring without keys');
    return key;
  }

  /** Cipher and header of a new file. */
  startFile(magic: Magic, place: FilePlace): { cipher: ChunkCipher; header: Buffer } {
    const salt = randomBytes(SALT_BYTES);
    const { id, bytes } = this.newest;
    const header = encodeHeader(magic, { keyId: id, salt });
    return { cipher: this.#cipher(bytes, salt, header, place), header };
  }

  /**
   * Cipher of a file that exists.
   *
   * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN` when it is not sealed, or its key is
   *   unknown
   * @throws {@link FormatError} `FORMAT_UNSUPPORTED`
   */
  openFile(magic: Magic, header: Buffer, place: FilePlace): ChunkCipher {
    const { keyId, salt } = decodeHeader(magic, header, place.file);
    const key = this.keys.find(({ id }) => id === keyId);
    if (!key) throw sealBroken(place.file, `the repository has no key ${keyId}`);
    invariant(!this.#isClosed, 'a key ring that was closed');
    return this.#cipher(key.bytes, salt, header, place);
  }

  /** Removes the keys from memory. */
  close(): void {
    this.#isClosed = true;
    for (const { bytes } of this.keys) bytes.fill(0);
  }

  #cipher(key: Buffer, salt: Buffer, header: Buffer, place: FilePlace): ChunkCipher {
    const fileKey = deriveKey(key, salt, FILE_KEY_USE, place.folder, place.fileName);
    return new ChunkCipher(place.file, fileKey, header);
  }
}
