/**
 * The checksum that imageio computes over an image: a hash over the hashes of its blocks.
 *
 * @see ovirt-imageio blkhash, handlers/checksum
 */
import { createHash } from 'node:crypto';

/** imageio offers all of Python's hashlib. SHA-256 is fast there and here, without a dependency. */
export const CHECKSUM_ALGORITHM = 'sha256';
/** Default of imageio. */
export const CHECKSUM_BLOCK_BYTES: number = 4 * 1024 * 1024;

/** Takes the bytes of an image in ascending order. Gaps count as zeros. */
export class ImageChecksumBuilder {
  readonly #outer = createHash(CHECKSUM_ALGORITHM);
  readonly #zeroDigest: Buffer;
  readonly #zeros = Buffer.alloc(CHECKSUM_BLOCK_BYTES);
  /** Hash of the current block; undefined while the block is all zero. */
  #inner: ReturnType<typeof createHash> | undefined;
  /** Bytes of the current block so far. */
  #filledBytes = 0;
  #offsetBytes = 0;

  constructor() {
    this.#zeroDigest = createHash(CHECKSUM_ALGORITHM).update(this.#zeros).digest();
  }

  /** Adds bytes. `offsetBytes` must not lie before the end of the bytes added last. */
  update(offsetBytes: number, bytes: Uint8Array): void {
    this.#addZeros(offsetBytes - this.#offsetBytes);
    let at = 0;
    while (at < bytes.length) {
      const piece = bytes.subarray(at, at + this.#room());
      this.#open().update(piece);
      this.#advance(piece.length);
      at += piece.length;
    }
  }

  /** The checksum of an image of `sizeBytes`, hexadecimal. */
  finish(sizeBytes: number): string {
    this.#addZeros(sizeBytes - this.#offsetBytes);
    if (this.#filledBytes > 0) this.#close();
    return this.#outer.digest('hex');
  }

  #room(): number {
    return CHECKSUM_BLOCK_BYTES - this.#filledBytes;
  }

  #addZeros(lengthBytes: number): void {
    let left = lengthBytes;
    while (left > 0) {
      const piece = Math.min(left, this.#room());
      this.#inner?.update(this.#zeros.subarray(0, piece));
      this.#advance(piece);
      left -= piece;
    }
  }

  /** Hash of the current block. A new one starts with the zeros before the first data. */
  #open(): ReturnType<typeof createHash> {
    this.#inner ??= createHash(CHECKSUM_ALGORITHM).update(
      this.#zeros.subarray(0, this.#filledBytes),
    );
    return this.#inner;
  }

  #advance(lengthBytes: number): void {
    this.#filledBytes += lengthBytes;
    this.#offsetBytes += lengthBytes;
    if (this.#filledBytes === CHECKSUM_BLOCK_BYTES) this.#close();
  }

  #close(): void {
    this.#outer.update(this.#digestOfBlock());
    this.#inner = undefined;
    this.#filledBytes = 0;
  }

  #digestOfBlock(): Buffer {
    if (this.#inner) return this.#inner.digest();
    if (this.#filledBytes === CHECKSUM_BLOCK_BYTES) return this.#zeroDigest;
    return createHash(CHECKSUM_ALGORITHM)
      .update(this.#zeros.subarray(0, this.#filledBytes))
      .digest();
  }
}
