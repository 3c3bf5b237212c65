/** The lab's engine with one sparse disk, in a process of its own. */
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

/** What a client needs. */
export interface LabAccess {
  readonly engine: EngineSettings;
  readonly vm: string;
}

/** Half of each page random, half zero: neither free nor hopeless for LZ4. */
function makeBlock(): Buffer {
  const block = randomBytes(BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += 4096) block.fill(0, at, at + 2048);
  return block;
}

/** Blocks of data spread over the whole disk. */
export async function start(given: {
  readonly sizeBytes: number;
  readonly blocks: number;
}): Promise<LabAccess> {
  const { sizeBytes, blocks } = given;
  lab = await startLab({ timeScale: TIME_SCALE });
  vm = lab.addVm({ name: 'sparse', disks: [{ name: DISK, sizeBytes }] });
  strideBytes = Math.floor(sizeBytes / blocks / BLOCK_BYTES) * BLOCK_BYTES;
  const disk = vm.disk(DISK);
  for (let k = 0; k < blocks; k++) disk.write(k * strideBytes, makeBlock());
  const { url, username, password, caPem } = lab;
  return { engine: { url, username, password, caPem }, vm: vm.id };
}

/** The guest writes so many of the blocks anew. */
export async function change({ blocks }: { readonly blocks: number }): Promise<void> {
  const disk = vm?.disk(DISK);
  for (let k = 0; k < blocks; k++) disk?.write(k * strideBytes, makeBlock());
  await Promise.resolve();
}

export async function stop(): Promise<void> {
  await lab?.close();
}
