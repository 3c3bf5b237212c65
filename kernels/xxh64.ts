/**
 * Source of the xxHash64 kernel, with seed 0: WebAssembly text by the xxHash specification ("XXH64
 * algorithm description" in doc/xxhash_spec.md of xxHash). It reads blocks in place in the slab, so
 * a fingerprint costs no copy. It can hash a block in pieces, while the block is being read.
 */

/** Pages of 2 GiB, the largest slab. A memory may be smaller than the maximum of its import. */
const MAX_MEMORY_PAGES = 32_768;
const STRIPE_BYTES = 32;

/** The five primes of the specification. */
const P1 = '0x9E3779B185EBCA87';
const P2 = '0xC2B2AE3D27D4EB4F';
const P3 = '0x165667B19E3779F9';
const P4 = '0x85EBCA77C2B2AE63';
const P5 = '0x27D4EB2F165667C5';
const LANES = [0, 1, 2, 3] as const;
/** Rotations that merge the four accumulators. */
const LANE_ROTATIONS = [1, 7, 12, 18] as const;

const get = (local: string): string => `(local.get $${local})`;
const set = (local: string, value: string): string => `(local.set $${local} ${value})`;
const constant = (value: string | number): string => `(i64.const ${value})`;
const add = (x: string, y: string): string => `(i64.add ${x} ${y})`;
const multiply = (x: string, y: string): string => `(i64.mul ${x} ${y})`;
const xor = (x: string, y: string): string => `(i64.xor ${x} ${y})`;
const rotate = (x: string, bits: number): string => `(i64.rotl ${x} ${constant(bits)})`;

/** One accumulator takes in eight bytes. */
function round(accumulator: string, input: string): string {
  const sum = add(accumulator, multiply(input, constant(P2)));
  return multiply(rotate(sum, 31), constant(P1));
}

/** Lines for each of the four accumulators of a state. */
function eachLane(line: (lane: number) => string): string[] {
  return LANES.map(line);
}

/**
 * `advance`: (state, source, stripes), all 32-bit. Hashes `stripes` stripes (0 or more) of 32 bytes
 * into the state.
 */
function advanceFunction(): string {
  return [
    '(func (export "advance") (param $state i32) (param $source i32) (param $stripes i32)',
    ...eachLane((lane) => `(local $v${lane} i64)`),
    '(if (i32.eqz (local.get $stripes)) (then (return)))',
    ...eachLane((lane) => set(`v${lane}`, `(i64.load offset=${lane * 8} ${get('state')})`)),
    '(loop $next',
    ...eachLane((lane) =>
      set(`v${lane}`, round(get(`v${lane}`), `(i64.load offset=${lane * 8} ${get('source')})`)),
    ),
    set('source', `(i32.add ${get('source')} (i32.const ${STRIPE_BYTES}))`),
    '(br_if $next (local.tee $stripes (i32.sub (local.get $stripes) (i32.const 1)))))',
    ...eachLane((lane) => `(i64.store offset=${lane * 8} ${get('state')} ${get(`v${lane}`)})`),
    ')',
  ].join('\n');
}

/** Merges the accumulators into the hash, before length and tail are added. */
function convergeLines(): string[] {
  const rotated = LANE_ROTATIONS.map((bits, lane) => rotate(get(`v${lane}`), bits));
  return [
    ...eachLane((lane) => set(`v${lane}`, `(i64.load offset=${lane * 8} ${get('state')})`)),
    set('h', rotated.reduce(add)),
    ...eachLane((lane) => {
      const mixed = xor(get('h'), round(constant(0), get(`v${lane}`)));
      return set('h', add(multiply(mixed, constant(P1)), constant(P4)));
    }),
  ];
}

/** Takes pieces of `bytes` bytes from the tail while it is long enough. */
function tailLoop(bytes: number, lines: readonly string[]): string[] {
  return [
    `(block $end${bytes} (loop $more${bytes}`,
    `(br_if $end${bytes} (i32.lt_u ${get('tailBytes')} (i32.const ${bytes})))`,
    ...lines,
    set('tail', `(i32.add ${get('tail')} (i32.const ${bytes}))`),
    set('tailBytes', `(i32.sub ${get('tailBytes')} (i32.const ${bytes}))`),
    `(br $more${bytes})))`,
  ];
}

function mixInto(input: string, bits: number, prime: string, addend?: string): string {
  const turned = multiply(rotate(xor(get('h'), input), bits), constant(prime));
  return set('h', addend === undefined ? turned : add(turned, constant(addend)));
}

/**
 * `finish`: (state, tail, tail bytes 0 to 31, total bytes), all 32-bit. Returns the hash. With less
 * than 32 bytes in total the state is not read.
 */
function finishFunction(): string {
  const parameters = ['state', 'tail', 'tailBytes', 'totalBytes'];
  const shift = (bits: number): string =>
    set('h', xor(get('h'), `(i64.shr_u ${get('h')} ${constant(bits)})`));
  return [
    `(func (export "finish") ${parameters.map((name) => `(param $${name} i32)`).join(' ')} (result i64)`,
    ...eachLane((lane) => `(local $v${lane} i64)`),
    '(local $h i64)',
    `(if (i32.ge_u ${get('totalBytes')} (i32.const ${STRIPE_BYTES}))`,
    '(then',
    ...convergeLines(),
    `) (else ${set('h', constant(P5))}))`,
    set('h', add(get('h'), `(i64.extend_i32_u ${get('totalBytes')})`)),
    ...tailLoop(8, [mixInto(round(constant(0), `(i64.load ${get('tail')})`), 27, P1, P4)]),
    ...tailLoop(4, [mixInto(multiply(`(i64.load32_u ${get('tail')})`, constant(P1)), 23, P2, P3)]),
    ...tailLoop(1, [mixInto(multiply(`(i64.load8_u ${get('tail')})`, constant(P5)), 11, P1)]),
    shift(33),
    set('h', multiply(get('h'), constant(P2))),
    shift(29),
    set('h', multiply(get('h'), constant(P3))),
    shift(32),
    get('h'),
    ')',
  ].join('\n');
}

/** The module as WebAssembly text. */
export function xxh64KernelText(): string {
  return [
    '(module',
    `(import "slab" "memory" (memory 1 ${MAX_MEMORY_PAGES} shared))`,
    advanceFunction(),
    finishFunction(),
    ')',
  ].join('\n');
}
