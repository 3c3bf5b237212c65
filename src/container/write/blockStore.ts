/**
 * The block store of a container that is being written: one row per stored block, and a hash table
 * that finds equal blocks. A block costs 48 bytes of row and at most 24 bytes of table.
 */
import { invariant } from '../../core/errors.ts';
import { roundUp } from '../../core/units.ts';
import { type StoredCodec, CLUSTER_BYTES, DIGEST_BYTES } from '../../compute/storedForm.ts';
import { COMPRESSION_LZ4, COMPRESSION_PLAIN } from '../format/layout.ts';
import type { BlockStoreRow } from '../format/records.ts';

const ROW_BYTES = 48;
const CHUNK_ROWS = 1024;
const AT_FINGERPRINT = 16;
const AT_OFFSET = 24;
const AT_STORED = 32;
const AT_SOURCE = 36;
const AT_USAGE = 40;
const AT_COMPRESSION = 44;
const AT_DEDUP = 45;
const MIN_BUCKETS = 1024;

/** With fewer ids, one sort is cheaper than a table of 65,536 buckets. */
const MIN_BUCKET_SORT = 4096;

/** Two blocks are equal when all three agree. */
export interface BlockKey {
  readonly digest: Uint8Array;
  readonly fingerprint: bigint;
  readonly sourceBytes: number;
}

export interface NewBlock extends BlockKey {
  readonly codec: StoredCodec;
  readonly storedBytes: number;
  readonly offsetBytes: number;
  readonly isDeduplicated: boolean;
}

export class BlockStore {
  readonly #chunks: Buffer[] = [];
  #count = 0;
  /** Open addressing over block id + 1; 0 is empty. */
  #table: Uint32Array = new Uint32Array(MIN_BUCKETS);
  #tableUsed = 0;

  get count(): number {
    return this.#count;
  }

  add(block: NewBlock): number {
    const blockId = this.#count++;
    if (blockId % CHUNK_ROWS === 0) this.#chunks.push(Buffer.alloc(CHUNK_ROWS * ROW_BYTES));
    const row = this.#row(blockId);
    row.set(block.digest, 0);
    row.writeBigUInt64LE(block.fingerprint, AT_FINGERPRINT);
    row.writeDoubleLE(block.offsetBytes, AT_OFFSET);
    row.writeUInt32LE(block.storedBytes, AT_STORED);
    row.writeUInt32LE(block.sourceBytes, AT_SOURCE);
    row.writeUInt32LE(1, AT_USAGE);
    row.writeInt8(block.codec === 'lz4' ? COMPRESSION_LZ4 : COMPRESSION_PLAIN, AT_COMPRESSION);
    row.writeUInt8(block.isDeduplicated ? 1 : 0, AT_DEDUP);
    if (block.isDeduplicated) this.#remember(blockId);
    return blockId;
  }

  /** An equal block of the deduplication index, or undefined. Counts no reference. */
  find(key: BlockKey): number | undefined {
    for (let at = this.#bucketOf(key.digest); ; at = (at + 1) % this.#table.length) {
      const entry = this.#table[at] ?? 0;
      if (entry === 0) return undefined;
      if (this.#matches(entry - 1, key)) return entry - 1;
    }
  }

  /** Counts one more reference to a block. */
  use(blockId: number): void {
    const row = this.#row(blockId);
    row.writeUInt32LE(row.readUInt32LE(AT_USAGE) + 1, AT_USAGE);
  }

  isInDedupIndex(blockId: number): boolean {
    return this.#row(blockId)[AT_DEDUP] === 1;
  }

  digestOf(blockId: number): Buffer {
    return this.#row(blockId).subarray(0, DIGEST_BYTES);
  }

  /** The record as the container keeps it. */
  record(blockId: number): BlockStoreRow {
    const row = this.#row(blockId);
    const storedBytes = row.readUInt32LE(AT_STORED);
    return {
      usageCount: row.readUInt32LE(AT_USAGE),
      offsetBytes: row.readDoubleLE(AT_OFFSET),
      allocatedBytes: roundUp(storedBytes, CLUSTER_BYTES),
      isDeduplicated: this.isInDedupIndex(blockId),
      digest: row.subarray(0, DIGEST_BYTES),
      compression: row.readInt8(AT_COMPRESSION),
      storedBytes,
      sourceBytes: row.readUInt32LE(AT_SOURCE),
    };
  }

  /** Ids of the deduplication index, ordered by digest bytes. */
  idsByDigest(): Uint32Array {
    return this.#count < MIN_BUCKET_SORT ? this.#sortedIds() : this.#bucketSortedIds();
  }

  #sortedIds(): Uint32Array {
    const all = Array.from({ length: this.#count }, (_, id) => id);
    const ids = Uint32Array.from(all.filter((id) => this.isInDedupIndex(id)));
    return ids.sort((a, b) => this.#compareDigests(a, b));
  }

  #compareDigests(a: number, b: number): number {
    return this.digestOf(a).compare(this.digestOf(b)) || a - b;
  }

  #bucketSortedIds(): Uint32Array {
    const buckets = new Uint32Array(65_537);
    const bucketOf = (id: number): number => this.digestOf(id).readUInt16BE(0);
    let total = 0;
    for (let id = 0; id < this.#count; id++) {
      if (!this.isInDedupIndex(id)) continue;
      const next = bucketOf(id) + 1;
      buckets[next] = (buckets[next] ?? 0) + 1;
      total++;
    }
    for (let k = 1; k < buckets.length; k++) buckets[k] = (buckets[k] ?? 0) + (buckets[k - 1] ?? 0);
    const ids = new Uint32Array(total);
    const next = buckets.slice();
    for (let id = 0; id < this.#count; id++) {
      if (!this.isInDedupIndex(id)) continue;
      const bucket = bucketOf(id);
      const at = next[bucket] ?? 0;
      ids[at] = id;
      next[bucket] = at + 1;
    }
    for (let k = 0; k + 1 < buckets.length; k++) {
      const [from, to] = [buckets[k] ?? 0, buckets[k + 1] ?? 0];
      // A view of each of the 65,536 buckets would cost more than the rest.
      if (to - from < 2) continue;
      ids.subarray(from, to).sort((a, b) => this.#compareDigests(a, b));
    }
    return ids;
  }

  #row(blockId: number): Buffer {
    const chunk = this.#chunks[Math.floor(blockId / CHUNK_ROWS)];
    invariant(chunk && blockId < this.#count, `block ${blockId} does not exist`);
    const at = (blockId % CHUNK_ROWS) * ROW_BYTES;
    return chunk.subarray(at, at + ROW_BYTES);
  }

  #matches(blockId: number, key: BlockKey): boolean {
    const row = this.#row(blockId);
    return (
      row.readUInt32LE(AT_SOURCE) === key.sourceBytes &&
      row.readBigUInt64LE(AT_FINGERPRINT) === key.fingerprint &&
      row.subarray(0, DIGEST_BYTES).equals(key.digest)
    );
  }

  /** MD5 bytes are spread evenly, so they need no further hash. */
  #bucketOf(digest: Uint8Array): number {
    return Buffer.from(digest.buffer, digest.byteOffset, 4).readUInt32LE(0) % this.#table.length;
  }

  #remember(blockId: number): void {
    if (this.#tableUsed * 2 >= this.#table.length) this.#grow();
    this.#insert(blockId);
    this.#tableUsed++;
  }

  #insert(blockId: number): void {
    let at = this.#bucketOf(this.digestOf(blockId));
    while (this.#table[at] !== 0) at = (at + 1) % this.#table.length;
    this.#table[at] = blockId + 1;
  }

  #grow(): void {
    const old = this.#table;
    this.#table = new Uint32Array(old.length * 2);
    for (const entry of old) if (entry !== 0) this.#insert(entry - 1);
  }
}
