/**
 * What the increments of a chain say of one disk: for each block that any of them names, the newest record.
 * Built oldest to newest, so the cost is linear in patch records. Sparse: 6 bytes a block under a used table.
 */
const TABLE_BLOCKS = 1024;
/** Stored values: 0 = no record, 1 = became zero, else block id + 2. */
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

  /** All entries in ascending order of their index. */
  *entries(): Generator<OverlayEntry> {
    for (const tableIndex of [...this.#tables.keys()].sort((a, b) => a - b)) {
      for (let k = 0; k < TABLE_BLOCKS; k++) {
        const entry = this.get(tableIndex * TABLE_BLOCKS + k);
        if (entry) yield entry;
      }
    }
  }
}
