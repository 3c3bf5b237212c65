/** The seeds of the fuzz target: they are read, so the target tries more than refusals. */
import { expect, it } from 'vitest';
import { corpusOf } from '../../../fuzz/target.ts';
import { fuzzFolder, SEALED } from '../../../fuzz/sealTarget.ts';

it.each(Object.keys(SEALED))('the seed %s is a sealed file with its content', async (name) => {
  const { base, sealed } = fuzzFolder();
  const seed = corpusOf('seal').get(`${name}.bin`);
  if (!seed) throw new Error('the seed is missing');
  base.put(name, seed);

  expect(await sealed.readFile(name, 1_000_000)).toEqual(SEALED[name]);
});
