/**
 * The newest patch record of each block of one disk, from all increments of a chain. Filled from
 * the oldest increment to the newest, so the time is linear in the number of patch records. Memory:
 * 6 bytes per block, in tables of 1024 blocks. A table without a record does not exist.
 */
const TABLE_BLOCKS = 1024;
/** Stored values: 0 = no record, 1 = zero block, otherwise block id + 2. */
const ZERO_MARK = 1;
const ID_SHIFT = 2;

interface Table {
  readonly ids: Uint32Array;
  readonly points: Uint16Array;
}

export interface OverlayEntry {
  readonly index: number;
  /** Position of the container within the chain. */
  readonly pointIndex: number;
  /** Block id in that container, or -1 for zeros. */
  readonly blockId: number;
}

export class Overlay {
  readonly #tables = new Map<number, Table>();

  set(index: number, pointIndex: number, blockId: number): void {
    const tableIndex = Math.floor(index / TABLE_BLOCKS);
    let table = this.#tables.get(tableIndex);
    if (!table) {
      table = { ids: new Uint32Array(TABLE_BLOCKS), points: new Uint16Array(TABLE_BLOCKS) };
      this.#tables.set(tableIndex, table);
    }
    table.ids[index % TABLE_BLOCKS] = blockId < 0 ? ZERO_MARK : blockId + ID_SHIFT;
    table.points[index % TABLE_BLOCKS] = pointIndex;
  }

  get(index: number): OverlayEntry | undefined {
    const table = this.#tables.get(Math.floor(index / TABLE_BLOCKS));
    const value = table?.ids[index % TABLE_BLOCKS] ?? 0;
    if (!table || value === 0) return undefined;
    const pointIndex = table.points[index % TABLE_BLOCKS] ?? 0;
    return { index, pointIndex, blockId: value === ZERO_MARK ? -1 : value - ID_SHIFT };
  }

  /** Entries with an index in `[from, to)`, by ascending index. */
  *entries(from = 0, to: number = Infinity): Generator<OverlayEntry> {
    for (const tableIndex of this.#tablesIn(from, to)) {
      const first = tableIndex * TABLE_BLOCKS;
      const end = Math.min(to, first + TABLE_BLOCKS);
      for (let index = Math.max(from, first); index < end; index++) {
        const entry = this.get(index);
        if (entry) yield entry;
      }
    }
  }

  /** Tables of a range, ascending. The cost follows the smaller of range and number of tables. */
  #tablesIn(from: number, to: number): number[] {
    const [first, end] = [Math.floor(from / TABLE_BLOCKS), Math.ceil(to / TABLE_BLOCKS)];
    if (end - first > this.#tables.size) {
      const known = [...this.#tables.keys()].filter((table) => table >= first && table < end);
      return known.sort((a, b) => a - b);
    }
    const range = Array.from({ length: end - first }, (_, k) => first + k);
    return range.filter((table) => this.#tables.has(table));
  }
}
