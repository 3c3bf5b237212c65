/**
 * Maps that the sink of a disk fills while blocks arrive: the map of a full file, or the patch
 * records of an increment. They are sparse: 4 bytes for each block of a used table, 12 bytes for
 * each patch record.
 */
import { invariant } from '../../core/errors.ts';
import { TABLE_BLOCKS } from '../format/layout.ts';
import { ZERO_BLOCK_ID } from '../format/records.ts';

/** Block ids of a full file. A block without an id is zero. */
export class FileMap {
  /** For each used table: block id + 1; 0 for a zero block. */
  readonly #tables = new Map<number, Uint32Array>();

  set(index: number, blockId: number): void {
    const table = Math.floor(index / TABLE_BLOCKS);
    let ids = this.#tables.get(table);
    if (!ids) {
      ids = new Uint32Array(TABLE_BLOCKS);
      this.#tables.set(table, ids);
    }
    ids[index % TABLE_BLOCKS] = blockId + 1;
  }

  /** Zero blocks need no entry. */
  setZero(_index: number, _blockCount: number): void {}

  isSparseTable(table: number): boolean {
    return !this.#tables.has(table);
  }

  /** Block id, or -1 for zeros. */
  blockIdAt(index: number): number {
    const id = this.#tables.get(Math.floor(index / TABLE_BLOCKS))?.[index % TABLE_BLOCKS] ?? 0;
    return id === 0 ? ZERO_BLOCK_ID : id - 1;
  }

  /** Ids of all stored blocks, one for each reference to them. */
  *blockIds(): Generator<number> {
    for (const ids of this.#tables.values()) for (const id of ids) if (id > 0) yield id - 1;
  }
}

const CHUNK_RECORDS = 4096;

/** Patch records of an increment. They must be added in ascending order of the block index. */
export class PatchList {
  readonly #indexes: Float64Array[] = [];
  readonly #ids: Uint32Array[] = [];
  #count = 0;
  #lastIndex = -1;

  get count(): number {
    return this.#count;
  }

  set(index: number, blockId: number): void {
    invariant(index > this.#lastIndex, `patch record ${index} after ${this.#lastIndex}`);
    this.#lastIndex = index;
    const at = this.#count++ % CHUNK_RECORDS;
    if (at === 0) {
      this.#indexes.push(new Float64Array(CHUNK_RECORDS));
      this.#ids.push(new Uint32Array(CHUNK_RECORDS));
    }
    const [indexes, ids] = [this.#indexes.at(-1), this.#ids.at(-1)];
    invariant(indexes && ids, 'no chunk');
    indexes[at] = index;
    ids[at] = blockId + 1;
  }

  setZero(index: number, blockCount: number): void {
    for (let k = 0; k < blockCount; k++) this.set(index + k, ZERO_BLOCK_ID);
  }

  indexOf(record: number): number {
    return this.#indexes[Math.floor(record / CHUNK_RECORDS)]?.[record % CHUNK_RECORDS] ?? 0;
  }

  /** Block id of a record, or -1 for zeros. */
  blockIdOf(record: number): number {
    return (this.#ids[Math.floor(record / CHUNK_RECORDS)]?.[record % CHUNK_RECORDS] ?? 0) - 1;
  }

  *blockIds(): Generator<number> {
    for (let k = 0; k < this.#count; k++) {
      if (this.blockIdOf(k) !== ZERO_BLOCK_ID) yield this.blockIdOf(k);
    }
  }
}
