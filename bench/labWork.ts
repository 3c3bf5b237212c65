/** The lab's engine with one sparse disk. For a child process. */
import { randomBytes } from 'node:crypto';
import { MIB } from '../src/core/units.ts';
import type { EngineSettings } from '../src/index.ts';
import { type Lab, type LabVm, startLab } from '../lab/src/index.ts';

const TIME_SCALE = 0.002;
const BLOCK_BYTES = MIB;
const DISK = 'sys';

let lab: Lab | undefined;
let vm: LabVm | undefined;
let strideBytes = 0;

/** Settings for a client of the lab. */
export interface LabAccess {
  readonly engine: EngineSettings;
  readonly vm: string;
}

/** One half of each page is random, the other half is zero, so LZ4 can save about a half. */
function makeBlock(): Buffer {
  const block = randomBytes(BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += 4096) block.fill(0, at, at + 2048);
  return block;
}

/**
 * Starts the lab. The disk has `blocks` blocks of data, spread over its whole size, or over its
 * first `dataWithinBytes`.
 */
export async function start(given: {
  readonly sizeBytes: number;
  readonly blocks: number;
  readonly dataWithinBytes?: number;
}): Promise<LabAccess> {
  const { sizeBytes, blocks, dataWithinBytes = sizeBytes } = given;
  lab = await startLab({ timeScale: TIME_SCALE });
  vm = lab.addVm({ name: 'sparse', disks: [{ name: DISK, sizeBytes }] });
  strideBytes = Math.floor(dataWithinBytes / blocks / BLOCK_BYTES) * BLOCK_BYTES;
  const disk = vm.disk(DISK);
  for (let k = 0; k < blocks; k++) disk.write(k * strideBytes, makeBlock());
  const { url, username, password, caPem } = lab;
  return { engine: { url, username, password, caPem }, vm: vm.id };
}

/** The guest overwrites so many of the blocks. */
export async function change({ blocks }: { readonly blocks: number }): Promise<void> {
  const disk = vm?.disk(DISK);
  for (let k = 0; k < blocks; k++) disk?.write(k * strideBytes, makeBlock());
  await Promise.resolve();
}

export async function stop(): Promise<void> {
  await lab?.close();
}
