/** The interface of a fuzz target, and the rules that all targets obey. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { BackupError } from '../../src/core/errors.ts';
import { createRandom, type Random } from '../helpers/bytes/random.ts';
import { rootFolder } from '../helpers/folders.ts';
import { MAX_INPUT_BYTES } from './mutate.ts';

/** One reader of outside input. */
export interface FuzzTarget {
  readonly name: string;
  /** Well-formed inputs to start from. */
  readonly seeds: readonly Buffer[];
  readonly mutate: (random: Random, input: Buffer) => Buffer;
  /**
   * Reads an input. It must end soon, with a result or a {@link BackupError} that is not an
   * internal one. Any other end is a finding.
   */
  readonly take: (input: Buffer) => Promise<unknown>;
  /**
   * Cost of one input compared with other targets. A target with cost n gets 1/n of the inputs.
   * @defaultValue 1
   */
  readonly cost?: number;
  readonly close?: () => Promise<void>;
}

const CORPUS = 'fixtures/fuzz';

/** Kept inputs: former findings, and inputs that are hard to reach by chance. */
export function corpusOf(target: string): ReadonlyMap<string, Buffer> {
  const folder = `${rootFolder()}/${CORPUS}/${target}`;
  if (!existsSync(folder)) return new Map();
  return new Map(
    readdirSync(folder)
      .toSorted()
      .map((name) => {
        const bytes = readFileSync(`${folder}/${name}`);
        return [name, name.endsWith('.gz') ? gunzipSync(bytes) : bytes];
      }),
  );
}

/** Input number `iteration`: follows from the seed, the target's name and the number alone. */
export function inputOf(target: FuzzTarget, seed: number, iteration: number): Buffer {
  const random = createRandom(seed * 1_000_003 + iteration * 7919 + target.name.length * 31);
  const seeds = [...target.seeds, ...corpusOf(target.name).values()];
  let input = seeds[random.below(seeds.length)] ?? Buffer.alloc(0);
  for (let k = random.below(3); k >= 0; k--) {
    input = target.mutate(random, input).subarray(0, MAX_INPUT_BYTES);
  }
  return input;
}

/** Gives an input to a target. @returns the broken rule, or undefined. */
export async function tryInput(target: FuzzTarget, input: Buffer): Promise<unknown> {
  try {
    await target.take(input);
    return undefined;
  } catch (error) {
    const isTyped = error instanceof BackupError;
    const isBug = !isTyped || error.code.startsWith('INTERNAL') || error.code === 'WORKER_CRASHED';
    return isBug ? error : undefined;
  }
}
