/**
 * The pipeline against a plain loop with the same codecs. The difference is the cost of the
 * streams.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { MIB } from '../src/core/units.ts';
import type { CeilingArgument } from './ceilingWork.ts';
import { BenchChild } from './childProcess.ts';
import { dataBytesOf } from './data.ts';
import { removeAll } from './programs.ts';
import type { Bench, BenchCase, Topic } from './suite.ts';

const LEAST_BYTES = 384 * MIB;

function caseOf(child: BenchChild, name: string, title: string, given: CeilingArgument): BenchCase {
  let last = '';
  return {
    name: title,
    run: async () => {
      const outcome = await child.run(name, given);
      last = outcome.checksum;
      return outcome;
    },
    // The checksum covers the digests of all blocks. Both cases must agree on it.
    prove: () => Promise.resolve(last),
  };
}

/** Copies of the image, enough to hide the start of the streams. Nothing is deduplicated here. */
function repeatImage(bench: Bench): { readonly image: string; readonly readBytes: number } {
  const times = Math.ceil(LEAST_BYTES / bench.imageBytes);
  const image = path.join(bench.folder, 'ceiling.raw');
  const inputs = Array.from({ length: times }, () => bench.image);
  execFileSync('sh', ['-c', 'out=$0; cat "$@" >"$out"', image, ...inputs]);
  return { image, readBytes: times * bench.imageBytes };
}

async function run(bench: Bench): Promise<void> {
  const { image, readBytes } = repeatImage(bench);
  const bytes = { readBytes, dataBytes: await dataBytesOf(image) };
  const given = { image, workers: bench.workers };
  using streams = await BenchChild.start('./ceilingWork.js');
  using twin = await BenchChild.start('./ceilingWork.js');
  const ours = caseOf(streams, 'pipeline', 'pipeline of streams', given);
  const again = caseOf(twin, 'pipeline', 'pipeline of streams again', given);
  const control = { title: 'A/A control: streams', ours, peer: again, ...bytes };
  await bench.compare({ ...control, pairs: bench.pairsOf(7, 1) });
  const peer = caseOf(twin, 'loop', 'bare loop, same codecs and threads', given);
  const spec = { title: 'streams against bare loop', ours, peer, ...bytes };
  await bench.compare({ ...spec, pairs: bench.pairsOf(15, 7) });
  await removeAll(image);
}

export const ceiling: Topic = { name: 'ceiling', run };
