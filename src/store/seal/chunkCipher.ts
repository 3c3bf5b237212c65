/**
 * AES-256-GCM for the chunks of one file. The key belongs to the file. Each seal takes a new random
 * nonce, also for a chunk that is written again. Authenticated with each chunk: the header of the
 * file, the number of the chunk, and whether it is the last one.
 *
 * @see NIST SP 800-38D; 8.2.2 and 8.3: at most 2^32 random nonces with one key, here 1 PiB a file
 */
import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto';
import { HEADER_BYTES, NONCE_BYTES, SEAL_BYTES, sealBroken, TAG_BYTES } from './sealFormat.ts';

const ALGORITHM = 'aes-256-gcm';
/** Random bytes are taken for many nonces at once. */
const NONCES = 256;

const nonces = Buffer.alloc(NONCES * NONCE_BYTES);
let nextNonce = NONCES;

/** A nonce that is never given twice. */
function takeNonce(): Buffer {
  if (nextNonce === NONCES) {
    randomFillSync(nonces);
    nextNonce = 0;
  }
  const at = nextNonce++ * NONCE_BYTES;
  return Buffer.from(nonces.subarray(at, at + NONCE_BYTES));
}

export class ChunkCipher {
  readonly #file: string;
  readonly #key: Buffer;
  /** Header, number, mark of the last chunk. */
  readonly #bound = Buffer.alloc(HEADER_BYTES + 9);

  /**
   * @param file - name for messages.
   * @param key - 32 bytes of this file alone.
   */
  constructor(file: string, key: Buffer, header: Buffer) {
    this.#file = file;
    this.#key = key;
    header.copy(this.#bound);
  }

  /** What the constructor was given, for the cipher of another thread. The key is secret. */
  secrets(): { readonly file: string; readonly key: Uint8Array; readonly header: Uint8Array } {
    const header = this.#bound.subarray(0, HEADER_BYTES);
    return { file: this.#file, key: new Uint8Array(this.#key), header: new Uint8Array(header) };
  }

  /**
   * Seals one chunk.
   *
   * @param parts - its plain bytes, one after the other. They may lie in shared memory.
   * @returns the sealed chunk in pieces.
   */
  seal(parts: readonly Uint8Array[], chunk: number, isLast: boolean): Buffer[] {
    const nonce = takeNonce();
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(this.#boundTo(chunk, isLast));
    const sealed: Buffer[] = [nonce];
    for (const part of parts) sealed.push(cipher.update(part));
    cipher.final();
    sealed.push(cipher.getAuthTag());
    return sealed;
  }

  /**
   * Opens one sealed chunk.
   *
   * @returns its plain bytes; never bytes that were not authenticated.
   * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN`
   */
  open(sealed: Uint8Array, chunk: number, isLast: boolean): Buffer {
    if (sealed.length < SEAL_BYTES) throw sealBroken(this.#file, 'is cut off', chunk);
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const tagAt = sealed.length - TAG_BYTES;
    const decipher = createDecipheriv(ALGORITHM, this.#key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(this.#boundTo(chunk, isLast));
    decipher.setAuthTag(sealed.subarray(tagAt));
    const plain = decipher.update(sealed.subarray(NONCE_BYTES, tagAt));
    try {
      decipher.final();
    } catch {
      throw sealBroken(this.#file, 'its seal is broken', chunk);
    }
    return plain;
  }

  #boundTo(chunk: number, isLast: boolean): Buffer {
    this.#bound.writeBigUInt64LE(BigInt(chunk), HEADER_BYTES);
    this.#bound[HEADER_BYTES + 8] = isLast ? 1 : 0;
    return this.#bound;
  }
}
