/**
 * A short session of the fuzzer, and all inputs that found something before. Any input from outside
 * must end in a result or a typed error. `npm run fuzz` goes on until it is stopped.
 */
import { assert, asyncProperty, nat } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../helpers/bytes/random.ts';
import { corpusOf, type FuzzTarget, inputOf, tryInput } from '../fuzz/target.ts';
import { openTargets } from '../fuzz/targets.ts';

const NAMES = [
  'container',
  'chain',
  'vbm',
  'files',
  'summary',
  'ovf',
  'engine',
  'extents',
  'journal',
  'lease',
  'lock',
  'marker',
  'report',
  'seal',
  'imageio',
  'nbd',
] as const;
/** Number of inputs for a target of cost 1. */
const RUNS = 80;
const LIMIT_MS = 240_000;

let targets: ReadonlyMap<string, FuzzTarget>;

beforeAll(async () => {
  targets = new Map((await openTargets()).map((target) => [target.name, target]));
}, LIMIT_MS);

afterAll(async () => {
  for (const target of targets.values()) await target.close?.();
});

async function failUntyped(): Promise<never> {
  throw new RangeError('oops');
}

function targetOf(name: string): FuzzTarget {
  const target = targets.get(name);
  if (!target) throw new Error(`no target ${name}`);
  return target;
}

describe.each(NAMES)('input for the reader of %s', (name) => {
  it(
    'ends in a result or a typed error when it is forged',
    async () => {
      const target = targetOf(name);
      const numRuns = Math.max(4, Math.ceil(RUNS / (target.cost ?? 1)));
      await assert(
        asyncProperty(nat(), nat(1_000_000), async (seed, iteration) => {
          expect(await tryInput(target, inputOf(target, seed, iteration))).toBeUndefined();
        }),
        { numRuns },
      );
    },
    LIMIT_MS,
  );

  it('ends so when it is one that was kept', async () => {
    for (const [file, input] of corpusOf(name)) {
      expect(await tryInput(targetOf(name), input), file).toBeUndefined();
    }
  });
});

describe('the fuzzer', () => {
  it('knows all targets', () => {
    expect([...targets.keys()].toSorted()).toEqual([...NAMES].toSorted());
  });

  it('makes the same input again', () => {
    const target = targetOf('summary');

    expect(inputOf(target, 7, 3)).toEqual(inputOf(target, 7, 3));
    expect(inputOf(target, 7, 3)).not.toEqual(inputOf(target, 7, 4));
  });

  it('takes an error without a type for a finding (control)', async () => {
    const [seed = Buffer.alloc(0)] = targetOf('summary').seeds;
    const broken = { name: 'broken', seeds: [seed], mutate: () => seed, take: failUntyped };

    expect(await tryInput(broken, createRandom(1).bytes(10))).toBeInstanceOf(RangeError);
  });
});
