/** Reproducible bytes and choices. */

export interface Random {
  /** An integer of `[0, limit)`. */
  below(limit: number): number;
  bytes(lengthBytes: number): Buffer;
}

/** mulberry32: small, fast, the same everywhere. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    below: (limit) => Math.floor((next() / 2 ** 32) * limit),
    bytes: (lengthBytes) => {
      const words = Uint32Array.from({ length: Math.ceil(lengthBytes / 4) }, next);
      return Buffer.from(words.buffer, 0, lengthBytes);
    },
  };
}

/** Bytes that do not compress. */
export function noise(seed: number, lengthBytes: number): Buffer {
  return createRandom(seed).bytes(lengthBytes);
}

/** Bytes that compress well and differ from seed to seed. */
export function prose(seed: number, lengthBytes: number): Buffer {
  return Buffer.alloc(lengthBytes, `line ${seed} of a text that repeats itself\n`);
}
