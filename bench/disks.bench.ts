/** Several disks at the same time: four disks against one with the same bytes in total. */
import path from 'node:path';
import { MIB } from '../src/core/units.ts';
import { copyPart, dataBytesOf } from './data.ts';
import { fullCase } from './product.ts';
import { removeAll } from './programs.ts';
import type { Bench, Topic } from './suite.ts';

const DISKS = 4;

async function run(bench: Bench): Promise<void> {
  const { image, folder } = bench;
  const partBytes = Math.floor(bench.imageBytes / DISKS / MIB) * MIB;
  const readBytes = partBytes * DISKS;
  const whole = path.join(folder, 'whole.raw');
  copyPart(image, whole, 0, readBytes);
  const parts = Array.from({ length: DISKS }, (_, k) => path.join(folder, `part${k}.raw`));
  for (const [k, part] of parts.entries()) copyPart(image, part, k * partBytes, partBytes);
  const repo = path.join(folder, 'disks');
  const ours = fullCase(bench, { name: `${DISKS} disks`, images: parts, repo });
  const peer = fullCase(bench, { name: '1 disk, same bytes', images: [whole], repo });
  const title = `full of ${DISKS} disks at once against 1 disk`;
  const spec = { title, ours, peer, readBytes, dataBytes: await dataBytesOf(whole) };
  await bench.compare({ ...spec, pairs: bench.pairsOf(5, 0) });
  await removeAll(whole, ...parts);
}

export const disks: Topic = { name: 'disks', run };
