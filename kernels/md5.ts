/**
 * Source of the MD5 kernel: WebAssembly text that hashes several messages at the same time, by RFC
 * 1321.
 *
 * Lane k of a vector belongs to message k. A *group* is four messages; their four 32-bit words of
 * state lie in four vectors. The kernel for eight messages does each step for two groups in turn. A
 * step of MD5 must wait for the step before it, and the second group fills that wait.
 *
 * A kernel works on whole chunks of 64 bytes. The caller adds padding and lengths; see
 * src/compute/kernels/laneDigests.ts.
 */

const LANES_PER_GROUP = 4;
const CHUNK_BYTES = 64;
const STEPS = 64;
/** Pages of 2 GiB, the largest slab. A memory may be smaller than the maximum of its import. */
const MAX_MEMORY_PAGES = 32_768;
const STATE = ['a', 'b', 'c', 'd'] as const;
/** Rotations of RFC 1321, section 3.4: one row for each round, repeated every four steps. */
const ROTATIONS: readonly (readonly number[])[] = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
];
/** Message word of step `i` of each round: (offset + factor × i) mod 16. */
const WORD_ORDER: readonly (readonly [offset: number, factor: number])[] = [
  [0, 1],
  [1, 5],
  [5, 3],
  [0, 7],
];

/** Gives a local its name within one group: the name carries the number of the group. */
type Name = (base: string) => string;

const get = (local: string): string => `(local.get $${local})`;
const set = (local: string, value: string): string => `(local.set $${local} ${value})`;
const add = (x: string, y: string): string => `(i32x4.add ${x} ${y})`;

/**
 * Word of the table T of RFC 1321: the first 32 bits after the point of |sin(step + 1)|, as a
 * signed number.
 */
export function sineWord(step: number): number {
  return Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32) | 0;
}

/** Picks four 32-bit words out of eight: 0 to 3 are the words of `x`, 4 to 7 those of `y`. */
function pick(words: readonly number[], x: string, y: string): string {
  const bytes = words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * 4 + byte));
  return `(i8x16.shuffle ${bytes.join(' ')} ${x} ${y})`;
}

/**
 * Transposes four vectors. One vector for each message becomes one vector for each word, and back.
 */
function transpose(vectors: readonly string[], name: Name): string[] {
  const [v0 = '', v1 = '', v2 = '', v3 = ''] = vectors;
  const [low01 = '', low23 = '', high01 = '', high23 = ''] = ['t0', 't1', 't2', 't3'].map(name);
  return [
    set(low01, pick([0, 4, 1, 5], get(v0), get(v1))),
    set(low23, pick([0, 4, 1, 5], get(v2), get(v3))),
    set(high01, pick([2, 6, 3, 7], get(v0), get(v1))),
    set(high23, pick([2, 6, 3, 7], get(v2), get(v3))),
    set(v0, pick([0, 1, 4, 5], get(low01), get(low23))),
    set(v1, pick([2, 3, 6, 7], get(low01), get(low23))),
    set(v2, pick([0, 1, 4, 5], get(high01), get(high23))),
    set(v3, pick([2, 3, 6, 7], get(high01), get(high23))),
  ];
}

/** Adds the round function of b, c and d to `sum`. */
function addRoundFunction(round: number, sum: string, name: Name): string {
  const [b, c, d] = ['b', 'c', 'd'].map((word) => get(name(word))) as [string, string, string];
  if (round === 0) return add(sum, `(v128.bitselect ${c} ${d} ${b})`);
  // This is bitselect(b, c, d) as a sum of two halves that share no bit. Only the second half waits
  // for b, the newest word.
  if (round === 1) return add(add(sum, `(v128.andnot ${c} ${d})`), `(v128.and ${b} ${d})`);
  if (round === 2) return add(sum, `(v128.xor (v128.xor ${c} ${d}) ${b})`);
  return add(sum, `(v128.xor ${c} (v128.or ${b} (v128.not ${d})))`);
}

/** One step for one group: a = b + rotate(a + function(b, c, d) + message word + table word). */
function stepLines(step: number, name: Name): string[] {
  const [round, inRound] = [step >> 4, step % 16];
  // The four words change their names with every step. Nothing is moved.
  const turned: Name = (word) => {
    const at = STATE.indexOf(word as (typeof STATE)[number]);
    return name(at < 0 ? word : (STATE[(at + 4 - (step % 4)) % 4] ?? word));
  };
  const [offset, factor] = WORD_ORDER[round] ?? [0, 0];
  const bits = ROTATIONS[round]?.[step % 4] ?? 0;
  const a = turned('a');
  const word = get(name(`m${(offset + factor * inRound) % 16}`));
  const sum = add(add(get(a), word), `(global.get $k${step})`);
  const left = `(i32x4.shl ${get(a)} (i32.const ${bits}))`;
  const right = `(i32x4.shr_u ${get(a)} (i32.const ${32 - bits}))`;
  return [
    set(a, addRoundFunction(round, sum, turned)),
    set(a, add(`(v128.or ${left} ${right})`, get(turned('b')))),
  ];
}

/** Loads 16 bytes at `offset` of each message of a group, as four vectors of words. */
function loadLines(name: Name, words: readonly string[], lanes: readonly string[], offset: number) {
  const vectors = words.map(name);
  const loads = vectors.map((vector, k) =>
    set(vector, `(v128.load offset=${offset} ${get(lanes[k] ?? '')})`),
  );
  return [...loads, ...transpose(vectors, name)];
}

interface Group {
  readonly name: Name;
  /** Names of the parameters with the addresses of the states and messages of the group. */
  readonly states: readonly string[];
  readonly sources: readonly string[];
}

/** Body of the loop: one chunk of every message. */
function chunkLines(groups: readonly Group[]): string[] {
  const each = (lines: (group: Group) => string[]): string[] => groups.flatMap(lines);
  const steps = Array.from({ length: STEPS }, (_, step) => {
    // Words are loaded just before their first use. So fewer vectors are alive at a time.
    const words = [0, 1, 2, 3].map((k) => `m${step + k}`);
    const isLoading = step < 16 && step % 4 === 0;
    const loads = isLoading
      ? each(({ name, sources }) => loadLines(name, words, sources, step * 4))
      : [];
    const [first, second] = [0, 1].map((k) => each(({ name }) => [stepLines(step, name)[k] ?? '']));
    return [...loads, ...(first ?? []), ...(second ?? [])];
  });
  return [
    ...each(({ name }) => STATE.map((word) => set(name(`${word}Before`), get(name(word))))),
    ...steps.flat(),
    ...each(({ name }) =>
      STATE.map((word) => set(name(word), add(get(name(word)), get(name(`${word}Before`))))),
    ),
    ...each(({ sources }) =>
      sources.map((at) => set(at, `(i32.add ${get(at)} (i32.const ${CHUNK_BYTES}))`)),
    ),
  ];
}

function groupOf(index: number): Group {
  const lanes = Array.from({ length: LANES_PER_GROUP }, (_, k) => index * LANES_PER_GROUP + k);
  return {
    name: (base) => `${base}_${index}`,
    states: lanes.map((lane) => `state${lane}`),
    sources: lanes.map((lane) => `source${lane}`),
  };
}

/**
 * `advance4` and `advance8`: (chunks, state0, source0, state1, source1, …), all 32-bit. They hash
 * `chunks` chunks, at least 1, of every lane. A lane reads its chunks at the source address; its
 * 16-byte state is at the state address.
 */
function kernelFunction(groupCount: number): string {
  const groups = Array.from({ length: groupCount }, (_, index) => groupOf(index));
  const words = Array.from({ length: 16 }, (_, k) => `m${k}`);
  const vectors = [...STATE, ...STATE.map((word) => `${word}Before`), ...words];
  const locals = groups.flatMap(({ name }) =>
    [...vectors, 't0', 't1', 't2', 't3'].map((base) => `(local $${name(base)} v128)`),
  );
  const parameters = groups.flatMap(({ states, sources }) =>
    states.map((state, k) => `(param $${state} i32) (param $${sources[k] ?? ''} i32)`),
  );
  const stores = groups.flatMap(({ name, states }) => [
    ...transpose(STATE.map(name), name),
    ...STATE.map((word, k) => `(v128.store ${get(states[k] ?? '')} ${get(name(word))})`),
  ]);
  return [
    `(func (export "advance${groupCount * LANES_PER_GROUP}") (param $chunks i32)`,
    ...parameters,
    ...locals,
    ...groups.flatMap(({ name, states }) => loadLines(name, STATE, states, 0)),
    '(loop $next',
    ...chunkLines(groups),
    '(br_if $next (local.tee $chunks (i32.sub (local.get $chunks) (i32.const 1)))))',
    ...stores,
    ')',
  ].join('\n');
}

/**
 * The module as WebAssembly text.
 *
 * @param tableOf - gives the 64 words of the table. Tests pass a wrong table to get a wrong
 *   kernel.
 */
export function md5KernelText(tableOf: (step: number) => number = sineWord): string {
  const globals = Array.from({ length: STEPS }, (_, step) => {
    const words = ` ${tableOf(step)}`.repeat(LANES_PER_GROUP);
    return `(global $k${step} v128 (v128.const i32x4${words}))`;
  });
  return [
    '(module',
    `(import "slab" "memory" (memory 1 ${MAX_MEMORY_PAGES} shared))`,
    ...globals,
    kernelFunction(1),
    kernelFunction(2),
    ')',
  ].join('\n');
}
