/** CPU time per MiB of every stage alone, by kind of data. */
import path from 'node:path';
import { MIB } from '../src/core/units.ts';
import { callOnce } from './childProcess.ts';
import { copyPart, MIXES, writeMix } from './data.ts';
import { removeAll } from './programs.ts';
import type { StageCosts, StagesArgument } from './stagesWork.ts';
import type { Bench, Topic } from './suite.ts';

const FULL_BYTES = 128 * MIB;
const QUICK_BYTES = 16 * MIB;

async function run(bench: Bench): Promise<void> {
  const [file, output] = ['stages.raw', 'stages.out'].map((name) => path.join(bench.folder, name));
  if (file === undefined || output === undefined) return;
  const sizeBytes = bench.isQuick ? QUICK_BYTES : FULL_BYTES;
  const given: StagesArgument = { file, output, rounds: bench.isQuick ? 5 : 31 };
  const columns: StageCosts[] = [];
  const measure = async (): Promise<void> => {
    columns.push((await callOnce('./stagesWork.js', 'stages', given)).value as StageCosts);
  };
  const chosen = bench.isQuick ? MIXES.slice(0, 1) : MIXES;
  for (const mix of chosen) {
    await writeMix(file, mix, sizeBytes);
    await measure();
  }
  copyPart(bench.image, file, 0, sizeBytes);
  await measure();
  await removeAll(file);
  bench.table({
    title: 'Stages alone: CPU ms per MiB on one thread (wall ms where it says so)',
    header: ['stage', ...chosen, 'real files'],
    rows: Object.keys(columns[0] ?? {}).map((stage) => [
      stage,
      ...columns.map((costs) => (costs[stage] ?? Number.NaN).toFixed(3)),
    ]),
  });
}

export const stages: Topic = { name: 'stages', run };
