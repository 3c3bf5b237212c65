/** The pipeline against the bare loop with the same verbs: what the streams cost. */
import type { CeilingArgument } from './ceilingWork.ts';
import { BenchChild } from './childProcess.ts';
import type { Bench, BenchCase, Topic } from './suite.ts';

/** Title of the pair that the gate looks at. */
export const STREAMS_AGAINST_LOOP = 'streams against bare loop';

function caseOf(child: BenchChild, name: string, title: string, given: CeilingArgument): BenchCase {
  let last = '';
  return {
    name: title,
    run: async () => {
      const outcome = await child.run(name, given);
      last = outcome.checksum;
      return outcome;
    },
    // The checksum is over the digests of all blocks, which both cases have to agree on.
    prove: () => Promise.resolve(last),
  };
}

async function run(bench: Bench): Promise<void> {
  const { image, workers, imageBytes: readBytes } = bench;
  const given = { image, workers };
  using streams = await BenchChild.start('./ceilingWork.js');
  using twin = await BenchChild.start('./ceilingWork.js');
  const ours = caseOf(streams, 'pipeline', 'pipeline of streams', given);
  const again = caseOf(twin, 'pipeline', 'pipeline of streams again', given);
  const control = { title: 'A/A control: streams', ours, peer: again, readBytes };
  await bench.compare({ ...control, pairs: bench.pairsOf(7, 1) });
  const peer = caseOf(twin, 'loop', 'bare loop, same verbs and threads', given);
  const spec = { title: STREAMS_AGAINST_LOOP, ours, peer, readBytes };
  await bench.compare({ ...spec, pairs: bench.pairsOf(15, 9) });
}

export const ceiling: Topic = { name: 'ceiling', run };
