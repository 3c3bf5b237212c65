/**
 * The two indexes of a container (free extents, deduplication) are B-trees. This file writes a
 * whole tree at once, and walks one in order.
 *
 * A page holds a record count, then pairs of child and record, then the last child. Leaves have no
 * children. The layout of inner pages is inferred from the layout of single leaves: no genuine
 * sample is large enough to have an inner page.
 */
import { FormatError } from '../../core/errors.ts';
import { NO_PAGE, PAGE_BYTES, readPageId, viewOf, writePageId } from './layout.ts';

const CHILD_BYTES = 8;
const HEADER_BYTES = 4;
const MAX_DEPTH = 8;

/** Number of records of `recordBytes` that fit one page. */
export function recordsPerPage(recordBytes: number): number {
  return Math.floor((PAGE_BYTES - HEADER_BYTES - CHILD_BYTES) / (recordBytes + CHILD_BYTES));
}

/** Writes record `index` of an index or vector into `out`. */
export type EncodeRecord = (index: number, out: Buffer) => void;

/** Receives the pages of an index. The metadata writer has this shape. */
export interface PageSink {
  /**
   * Appends a page that `fill` encodes.
   *
   * @returns the id of the page
   */
  append(fill: (page: Buffer) => void): Promise<number>;
  /** Writes the page whose place in bank 0 was reserved. */
  setReserved(pageId: number, page: Buffer): void;
}

interface TreeSource {
  readonly recordBytes: number;
  readonly encode: EncodeRecord;
}

interface Node {
  readonly children: readonly number[];
  readonly records: readonly number[];
}

function encodeNode(node: Node, source: TreeSource, page: Buffer): void {
  const view = viewOf(page);
  view.setUint32(0, node.records.length, true);
  let at = HEADER_BYTES;
  for (const [k, record] of node.records.entries()) {
    writePageId(view, at, node.children[k] ?? NO_PAGE);
    source.encode(record, page.subarray(at + CHILD_BYTES, at + CHILD_BYTES + source.recordBytes));
    at += CHILD_BYTES + source.recordBytes;
  }
  writePageId(view, at, node.children[node.records.length] ?? NO_PAGE);
}

/** Most records that a tree of `depth` levels can hold. */
function capacity(depth: number, perPage: number): number {
  return (perPage + 1) ** depth - 1;
}

/**
 * Writes the records `[from, to)` as one subtree. Children are written before their parent, so
 * pages are only appended.
 */
async function build(
  writer: PageSink,
  source: TreeSource,
  from: number,
  to: number,
): Promise<Node> {
  const perPage = recordsPerPage(source.recordBytes);
  const count = to - from;
  if (count <= perPage) {
    return { children: [], records: Array.from({ length: count }, (_, k) => from + k) };
  }
  let depth = 1;
  while (capacity(depth, perPage) < count) depth++;
  const childCount = Math.max(2, Math.ceil((count + 1) / (capacity(depth - 1, perPage) + 1)));
  const children: number[] = [];
  const records: number[] = [];
  let at = from;
  for (let k = 0; k < childCount; k++) {
    const size = Math.floor((to - at - (childCount - 1 - k)) / (childCount - k));
    const node = await build(writer, source, at, at + size);
    children.push(await writer.append((page) => encodeNode(node, source, page)));
    at += size;
    if (k < childCount - 1) records.push(at++);
  }
  return { children, records };
}

/**
 * Writes an index of `count` records. `encode` gives them in ascending order of their keys.
 *
 * @param reservedRoot - page of bank 0 for the root; without it the root is appended.
 * @returns the id of the root page.
 */
export async function writeIndex(
  writer: PageSink,
  recordBytes: number,
  count: number,
  encode: EncodeRecord,
  reservedRoot?: number,
): Promise<number> {
  const source = { recordBytes, encode };
  const root = await build(writer, source, 0, count);
  if (reservedRoot === undefined) {
    return await writer.append((page) => encodeNode(root, source, page));
  }
  const page = Buffer.alloc(PAGE_BYTES);
  encodeNode(root, source, page);
  writer.setReserved(reservedRoot, page);
  return reservedRoot;
}

export type ReadPage = (pageId: number) => Promise<Buffer>;

/**
 * Walks an index in key order; yields the bytes of each record.
 *
 * @throws {@link FormatError} `FORMAT_STRUCTURE` on a page that cannot belong to an index, or
 *   that is reached twice.
 */
export async function* walkIndex(
  readPage: ReadPage,
  pageId: number,
  recordBytes: number,
  depth = 0,
  seen: Set<number> = new Set(),
): AsyncGenerator<Buffer> {
  if (seen.has(pageId)) {
    throw new FormatError('FORMAT_STRUCTURE', `index page ${pageId} is reached twice`);
  }
  seen.add(pageId);
  const page = Buffer.from(await readPage(pageId));
  const view = viewOf(page);
  const count = view.getUint32(0, true);
  if (count > recordsPerPage(recordBytes) || depth >= MAX_DEPTH) {
    throw new FormatError('FORMAT_STRUCTURE', `index page with ${count} records at depth ${depth}`);
  }
  for (let k = 0; k <= count; k++) {
    const at = HEADER_BYTES + k * (CHILD_BYTES + recordBytes);
    const child = readPageId(view, at);
    if (child !== NO_PAGE) yield* walkIndex(readPage, child, recordBytes, depth + 1, seen);
    if (k < count) yield page.subarray(at + CHILD_BYTES, at + CHILD_BYTES + recordBytes);
  }
}
