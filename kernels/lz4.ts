/**
 * Source of the LZ4 kernel: WebAssembly text by the LZ4 block format (doc/lz4_Block_format.md of
 * lz4). It compresses and decompresses one block where the native build of the package `lz4` is
 * missing.
 *
 * The kernel has a memory of its own, so damaged input can reach nothing else. The memory holds the
 * table of `encode` at 0, then the source at 131072, then the target. An empty place of the table
 * is address 0, which is farther from the source than any match may be. Copies move 16 bytes at a
 * time. They read and write up to 32 bytes after the end of the source and of the target; the
 * caller (src/compute/kernels/wasmLz4.ts) leaves this room free.
 */

const TABLE_BITS = 13;
/** Most bytes between a match and its source: its distance has two bytes. */
const MAX_DISTANCE = 65_535;
const MIN_MATCH = 4;
/** The format: the last match starts at least 12 bytes before the end. */
const MATCH_START_LIMIT = 12;
/** The format: the last 5 bytes are literals. */
const LAST_LITERALS = 5;
/** A length of this value in the token goes on in the bytes after it. */
const LONG_LENGTH = 15;
/** After 2^6 searches without a match the steps of the search grow. */
const SKIP_BITS = 6;
/** A prime that spreads five bytes over the table; the C version of lz4 has the same one. */
const HASH_PRIME = 889_523_592_379n;

const get = (local: string): string => `(local.get $${local})`;
const set = (local: string, value: string): string => `(local.set $${local} ${value})`;
const constant = (value: number): string => `(i32.const ${value})`;
const add = (x: string, y: string): string => `(i32.add ${x} ${y})`;
const sub = (x: string, y: string): string => `(i32.sub ${x} ${y})`;
const advance = (local: string, by: string): string => set(local, add(get(local), by));
const locals = (type: string, names: readonly string[]): string =>
  names.map((name) => `(local $${name} ${type})`).join(' ');
const when = (condition: string, ...lines: readonly string[]): string =>
  `(if ${condition} (then ${lines.join('\n')}))`;
const isAbove = (x: string, y: string): string => `(i32.gt_u ${x} ${y})`;
/** Leaves the function with `value` when `x` is greater than `y`, both unsigned. */
const returnAbove = (x: string, y: string, value: number): string =>
  when(isAbove(x, y), `(return ${constant(value)})`);

/**
 * `copy`: (to, from, bytes). Copies 16 bytes at a time and so writes up to 16 bytes after the end.
 * `to` may lie after `from` when it is at least 8 bytes away: the second half is read after the
 * first one was written.
 */
function copyFunction(): string {
  const half = (offset: number): string =>
    `(i64.store offset=${offset} ${get('to')} (i64.load offset=${offset} ${get('from')}))`;
  return [
    '(func $copy (param $to i32) (param $from i32) (param $bytes i32)',
    locals('i32', ['end']),
    set('end', add(get('to'), get('bytes'))),
    '(loop $next',
    half(0),
    half(8),
    advance('to', constant(16)),
    advance('from', constant(16)),
    `(br_if $next (i32.lt_u ${get('to')} ${get('end')})))`,
    ')',
  ].join('\n');
}

/** Lines that read the rest of a length. `room` bounds it, so that it cannot wrap. */
function longLengthLines(length: string, room: string): string[] {
  return [
    when(
      `(i32.eq ${get(length)} ${constant(LONG_LENGTH)})`,
      `(loop $more_${length}`,
      when(`(i32.ge_u ${get('from')} ${get('fromEnd')})`, `(return ${constant(-1)})`),
      set('byte', `(i32.load8_u ${get('from')})`),
      advance('from', constant(1)),
      advance(length, get('byte')),
      returnAbove(get(length), room, -1),
      `(br_if $more_${length} (i32.eq ${get('byte')} ${constant(255)})))`,
    ),
  ];
}

/**
 * Lines that copy a match. Nearer than 8 bytes, the distance is doubled until it is 8 or more: a
 * store of 8 bytes gets the bytes of one period right, and the next store overwrites the others.
 */
function matchCopyLines(): string[] {
  return [
    set('match', sub(get('to'), get('distance'))),
    set('at', get('to')),
    advance('to', get('length')),
    '(block $far (loop $near',
    `(br_if $far (i32.ge_u ${get('distance')} ${constant(8)}))`,
    `(i64.store ${get('at')} (i64.load ${get('match')}))`,
    advance('at', get('distance')),
    set('distance', `(i32.shl ${get('distance')} ${constant(1)})`),
    '(br $near)))',
    when(
      `(i32.lt_u ${get('at')} ${get('to')})`,
      `(call $copy ${get('at')} ${get('match')} ${sub(get('to'), get('at'))})`,
    ),
  ];
}

/**
 * `decode`: (source, source end, target, target end). Returns the bytes written, or -1 for a
 * damaged block. The result depends on the source alone and never exceeds the target.
 */
function decodeFunction(): string {
  const room = sub(get('toEnd'), get('to'));
  return [
    '(func (export "decode") (param $from i32) (param $fromEnd i32) (param $target i32)',
    '(param $toEnd i32) (result i32)',
    locals('i32', ['to', 'token', 'byte', 'length', 'literals', 'distance', 'match', 'at']),
    set('to', get('target')),
    '(loop $sequence',
    when(`(i32.ge_u ${get('from')} ${get('fromEnd')})`, `(return ${constant(-1)})`),
    set('token', `(i32.load8_u ${get('from')})`),
    advance('from', constant(1)),
    set('literals', `(i32.shr_u ${get('token')} ${constant(4)})`),
    ...longLengthLines('literals', room),
    returnAbove(get('literals'), room, -1),
    returnAbove(get('literals'), sub(get('fromEnd'), get('from')), -1),
    `(call $copy ${get('to')} ${get('from')} ${get('literals')})`,
    advance('from', get('literals')),
    advance('to', get('literals')),
    when(`(i32.eq ${get('from')} ${get('fromEnd')})`, `(return ${sub(get('to'), get('target'))})`),
    returnAbove(constant(2), sub(get('fromEnd'), get('from')), -1),
    set('distance', `(i32.load16_u ${get('from')})`),
    advance('from', constant(2)),
    when(`(i32.eqz ${get('distance')})`, `(return ${constant(-1)})`),
    returnAbove(get('distance'), sub(get('to'), get('target')), -1),
    set('length', `(i32.and ${get('token')} ${constant(LONG_LENGTH)})`),
    ...longLengthLines('length', room),
    advance('length', constant(MIN_MATCH)),
    returnAbove(get('length'), room, -1),
    ...matchCopyLines(),
    '(br $sequence))',
    '(unreachable)',
    ')',
  ].join('\n');
}

/** Address of the place in the table for the five bytes at `local`. */
function place(local: string): string {
  const upper = `(i64.shl (i64.load ${get(local)}) (i64.const 24))`;
  const hash = `(i64.shr_u (i64.mul ${upper} (i64.const ${HASH_PRIME})) (i64.const ${64 - TABLE_BITS}))`;
  return `(i32.shl (i32.wrap_i64 ${hash}) ${constant(2)})`;
}

/** Lines that look for a match at `at` or later. They leave to `$tail` when there is none. */
function searchLines(): string[] {
  return [
    set('searches', constant(1 << SKIP_BITS)),
    '(block $found (loop $search',
    `(br_if $tail ${isAbove(get('at'), get('startLimit'))})`,
    set('entry', place('at')),
    set('match', `(i32.load ${get('entry')})`),
    `(i32.store ${get('entry')} ${get('at')})`,
    when(
      `(i32.le_u ${sub(get('at'), get('match'))} ${constant(MAX_DISTANCE)})`,
      `(br_if $found (i32.eq (i32.load ${get('at')}) (i32.load ${get('match')})))`,
    ),
    advance('at', `(i32.shr_u ${get('searches')} ${constant(SKIP_BITS)})`),
    advance('searches', constant(1)),
    '(br $search)))',
    // The bytes before may be equal, too.
    '(block $grown (loop $grow',
    `(br_if $grown (i32.le_u ${get('at')} ${get('anchor')}))`,
    `(br_if $grown (i32.le_u ${get('match')} ${get('source')}))`,
    `(br_if $grown (i32.ne (i32.load8_u ${sub(get('at'), constant(1))})`,
    `(i32.load8_u ${sub(get('match'), constant(1))})))`,
    set('at', sub(get('at'), constant(1))),
    set('match', sub(get('match'), constant(1))),
    '(br $grow)))',
  ];
}

/** Lines that count the equal bytes from `at` and `match` on into `length`, 8 at a time. */
function matchLengthLines(): string[] {
  return [
    set('end', add(get('at'), constant(MIN_MATCH))),
    set('distance', sub(get('at'), get('match'))),
    '(block $counted (loop $count',
    `(br_if $counted (i32.ge_u ${get('end')} ${get('matchLimit')}))`,
    set(
      'differing',
      `(i64.xor (i64.load ${get('end')}) (i64.load ${sub(get('end'), get('distance'))}))`,
    ),
    when(
      `(i64.ne ${get('differing')} (i64.const 0))`,
      advance('end', `(i32.wrap_i64 (i64.shr_u (i64.ctz ${get('differing')}) (i64.const 3)))`),
      '(br $counted)',
    ),
    advance('end', constant(8)),
    '(br $count)))',
    when(isAbove(get('end'), get('matchLimit')), set('end', get('matchLimit'))),
    set('length', sub(sub(get('end'), get('at')), constant(MIN_MATCH))),
  ];
}

/** Lines that write the rest of a length of 15 or more. */
function writeLengthLines(length: string): string[] {
  const store = (value: string): string =>
    `(i32.store8 ${get('to')} ${value}) ${advance('to', constant(1))}`;
  return [
    when(
      `(i32.ge_u ${get(length)} ${constant(LONG_LENGTH)})`,
      set('rest', sub(get(length), constant(LONG_LENGTH))),
      `(block $written_${length} (loop $write_${length}`,
      `(br_if $written_${length} (i32.lt_u ${get('rest')} ${constant(255)}))`,
      store(constant(255)),
      set('rest', sub(get('rest'), constant(255))),
      `(br $write_${length})))`,
      store(get('rest')),
    ),
  ];
}

/** Value of a length in the token: at most 15. */
function short(length: string): string {
  return `(select ${get(length)} ${constant(LONG_LENGTH)} (i32.lt_u ${get(length)} ${constant(LONG_LENGTH)}))`;
}

/**
 * Lines that write a token, the literals since `anchor` and their length. They return 0 when these
 * do not fit with `extra` further bytes.
 */
function literalLines(matchBits: string, extra: string): string[] {
  const needed = `(i32.add (i32.div_u ${get('literals')} ${constant(255)}) ${add(get('literals'), extra)})`;
  return [
    returnAbove(needed, sub(get('toEnd'), get('to')), 0),
    `(i32.store8 ${get('to')} (i32.or (i32.shl ${short('literals')} ${constant(4)}) ${matchBits}))`,
    advance('to', constant(1)),
    ...writeLengthLines('literals'),
    `(call $copy ${get('to')} ${get('anchor')} ${get('literals')})`,
    advance('to', get('literals')),
  ];
}

/** Lines that write one sequence: literals and a match. */
function sequenceLines(): string[] {
  // Two bytes of lengths, the token and the distance.
  const extra = `(i32.add (i32.div_u ${get('length')} ${constant(255)}) ${constant(5)})`;
  return [
    ...searchLines(),
    ...matchLengthLines(),
    set('literals', sub(get('at'), get('anchor'))),
    ...literalLines(short('length'), extra),
    `(i32.store16 ${get('to')} ${get('distance')})`,
    advance('to', constant(2)),
    ...writeLengthLines('length'),
    set('at', get('end')),
    set('anchor', get('end')),
    `(br_if $tail ${isAbove(get('at'), get('startLimit'))})`,
    set('behind', sub(get('at'), constant(2))),
    `(i32.store ${place('behind')} ${get('behind')})`,
  ];
}

/**
 * `encode`: (source, source end, target, target end). Returns the bytes written, or 0 when they do
 * not fit into the target.
 */
function encodeFunction(): string {
  const names = ['to', 'at', 'anchor', 'match', 'entry', 'searches', 'startLimit', 'matchLimit'];
  const lengths = ['end', 'distance', 'length', 'literals', 'rest', 'behind', 'slot'];
  return [
    '(func (export "encode") (param $source i32) (param $sourceEnd i32) (param $target i32)',
    '(param $toEnd i32) (result i32)',
    locals('i32', [...names, ...lengths]),
    locals('i64', ['differing']),
    '(loop $clear',
    `(i64.store ${get('slot')} (i64.const 0))`,
    advance('slot', constant(8)),
    `(br_if $clear (i32.lt_u ${get('slot')} ${constant(4 << TABLE_BITS)})))`,
    set('to', get('target')),
    set('at', get('source')),
    set('anchor', get('source')),
    set('startLimit', sub(get('sourceEnd'), constant(MATCH_START_LIMIT))),
    set('matchLimit', sub(get('sourceEnd'), constant(LAST_LITERALS))),
    '(block $tail (loop $sequence',
    ...sequenceLines(),
    '(br $sequence)))',
    set('literals', sub(get('sourceEnd'), get('anchor'))),
    ...literalLines(constant(0), constant(2)),
    sub(get('to'), get('target')),
    ')',
  ].join('\n');
}

/** The module as WebAssembly text. */
export function lz4KernelText(): string {
  return [
    '(module',
    '(memory (export "memory") 3)',
    copyFunction(),
    decodeFunction(),
    encodeFunction(),
    ')',
  ].join('\n');
}
