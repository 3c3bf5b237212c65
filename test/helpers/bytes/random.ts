/** Reproducible choices and bytes: equal seeds give equal results. */
import { createHash } from 'node:crypto';

export interface Random {
  /** A number of `[0, 1)`. */
  fraction(): number;
  /** An integer of `[0, limit)`. */
  below(limit: number): number;
  bytes(lengthBytes: number): Buffer;
}

/** mulberry32: small, fast, the same on every machine. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const fraction = (): number => next() / 2 ** 32;
  return {
    fraction,
    below: (limit) => Math.floor(fraction() * limit),
    bytes: (lengthBytes) => {
      const words = Uint32Array.from({ length: Math.ceil(lengthBytes / 4) }, next);
      return Buffer.from(words.buffer, 0, lengthBytes);
    },
  };
}

/** Bytes that do not compress. A shorter result is the start of a longer one with the same seed. */
export function noise(seed: number | string, lengthBytes: number): Buffer {
  const hash = createHash('shake256', { outputLength: lengthBytes });
  return hash.update(`noise ${seed}`).digest();
}

/** Text of random words: LZ4 makes it smaller, and LZ4 HC smaller still. */
export function wordText(seed: number, lengthBytes: number): Buffer {
  const random = createRandom(seed);
  const words = Array.from({ length: 500 }, () =>
    random.bytes(2 + random.below(8)).toString('base64url'),
  );
  const parts: string[] = [];
  for (let bytes = 0; bytes < lengthBytes; ) {
    const word = `${words[Math.floor(500 * random.fraction() ** 3)]} `;
    parts.push(word);
    bytes += word.length;
  }
  return Buffer.from(parts.join('')).subarray(0, lengthBytes);
}

/** Bytes that compress well and differ from seed to seed. */
export function prose(seed: number | string, lengthBytes: number): Buffer {
  return Buffer.alloc(lengthBytes, `line ${seed} of a text that repeats itself\n`);
}
