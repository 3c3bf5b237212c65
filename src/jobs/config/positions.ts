/** Where the keys and values of a YAML document are. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
} from 'yaml';

export type KeyPath = readonly PropertyKey[];

/** Both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

interface Place {
  /** The key of a map; undefined in a list. */
  readonly key: Node | undefined;
  readonly value: Node | undefined;
}

function nodeOf(value: unknown): Node | undefined {
  return isNode(value) ? value : undefined;
}

/** The entry of a map or of a list; undefined when there is none. */
function entryOf(parent: Node | undefined, name: PropertyKey): Place | undefined {
  if (isSeq(parent)) {
    const value = nodeOf(parent.items[Number(name)]);
    return value && { key: undefined, value };
  }
  if (!isMap(parent)) return undefined;
  const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(name));
  return pair && { key: nodeOf(pair.key), value: nodeOf(pair.value) };
}

/**
 * Position of the value at `path`, or of its key where the value is a group or is missing. Where
 * there is no such key, it is that of the group that lacks it.
 *
 * @param wantsKey - gives the position of the key in any case.
 */
export function positionOf(
  document: Document,
  lines: LineCounter,
  path: KeyPath,
  wantsKey = false,
): Position {
  let place: Place = { key: undefined, value: document.contents ?? undefined };
  for (const name of path) {
    const parent = isAlias(place.value) ? place.value.resolve(document) : place.value;
    const next = entryOf(parent, name);
    if (next === undefined) return at(lines, place.key ?? place.value);
    place = next;
  }
  const isPlain = isAlias(place.value) || (isScalar(place.value) && place.value.value !== null);
  const node = isPlain && !wantsKey ? place.value : (place.key ?? place.value);
  return at(lines, node);
}

function at(lines: LineCounter, node: Node | undefined): Position {
  const { line, col } = lines.linePos(node?.range?.[0] ?? 0);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}
