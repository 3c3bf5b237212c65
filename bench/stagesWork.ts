/** Each stage alone, on blocks of one kind of data. For a child process. */
import { createHash } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32c } from '@node-rs/crc32';
import { MIB } from '../src/core/units.ts';
import { createBlockCodecs } from '../src/compute/blockCodecs.ts';
import {
  type DigestJob,
  LaneDigests,
  MAX_LANES,
  TAIL_BYTES,
} from '../src/compute/kernels/laneDigests.ts';
import { createSlab, type Slab } from '../src/flow/slab.ts';
import { RESULT_BYTES } from '../src/compute/resultRecord.ts';
import { SlabFingerprints } from '../src/compute/kernels/slabFingerprints.ts';
import { compileSlabKernels } from '../src/compute/kernels/slabKernels.ts';
import { median } from './statistics.ts';

/** WebAssembly first runs as plain code. Node compiles it again when it is used often. */
const WARM_UP_ROUNDS = 10;

export interface StagesArgument {
  /** A file of whole MiB, at least {@link MAX_LANES}. */
  readonly file: string;
  /** Path for the written file, which is removed afterwards. */
  readonly output: string;
  readonly rounds: number;
}

/** CPU milliseconds per MiB by stage. `read` and `write` also have wall time. */
export type StageCosts = Readonly<Record<string, number>>;

type Work = () => void;

/** CPU time, because other load disturbs it less than wall time. */
function cpuMs(work: Work): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

interface Blocks {
  readonly raw: readonly Buffer[];
  readonly packed: readonly Buffer[];
  readonly jobs: readonly DigestJob[];
}

async function fillSlots(slab: Slab, file: string): Promise<Blocks> {
  const lease = slab.lease('pack');
  const content = await readFile(file);
  const slots = await Promise.all(Array.from({ length: MAX_LANES }, () => lease.acquireRaw()));
  const packed = await Promise.all(slots.map(() => lease.acquirePacked()));
  // Blocks from all over the file: the first blocks of a file system are not typical.
  const step = Math.floor(content.length / MIB / MAX_LANES);
  for (const [k, { bytes }] of slots.entries()) {
    bytes.set(content.subarray(k * step * MIB, (k * step + 1) * MIB));
  }
  const jobs = slots.map(({ bytes, slotIndex }) => ({
    sourceOffset: bytes.byteOffset,
    sourceBytes: MIB,
    digestOffset: slotIndex * RESULT_BYTES,
    tailOffset: (slotIndex + 1) * RESULT_BYTES - TAIL_BYTES,
  }));
  return { raw: slots.map(({ bytes }) => bytes), packed: packed.map(({ bytes }) => bytes), jobs };
}

/** All CPU stages, each over the same eight blocks. */
async function stagesOf(slab: Slab, { raw, packed, jobs }: Blocks): Promise<Record<string, Work>> {
  const codecs = await createBlockCodecs();
  const kernels = compileSlabKernels();
  const digests = new LaneDigests(slab.memory, kernels.md5);
  const fingerprints = new SlabFingerprints(slab.memory, kernels.xxh64, codecs);
  const zeros = Buffer.alloc(MIB);
  const blocks = raw.map((bytes) => bytes.subarray(0, MIB));
  const each = (work: (block: Buffer, k: number) => unknown) => () => {
    for (const [k, block] of blocks.entries()) work(block, k);
  };
  const target = (k: number): Buffer => packed[k] ?? Buffer.alloc(0);
  const plain = Buffer.alloc(MIB);
  const forms = blocks.map((block, k) => codecs.pack(block, MIB, target(k)));
  const stored = forms.map(({ codec, storedBytes }, k) => ({
    codec,
    bytes: Buffer.from(
      (codec === 'lz4' ? target(k) : (blocks[k] ?? plain)).subarray(0, storedBytes),
    ),
  }));
  return {
    'zero test': each((block) => block.equals(zeros)),
    'fingerprint (xxHash64), kernel': () => {
      for (const { sourceOffset, tailOffset } of jobs) {
        fingerprints.of(sourceOffset, MIB, tailOffset);
      }
    },
    'fingerprint (xxHash64), xxhash-wasm': each((block) => codecs.fingerprint(block)),
    'CRC-32C': each((block) => crc32c(block)),
    'LZ4 encode': each((block, k) => codecs.lz4.encode(block, target(k).subarray(0, MIB - 4096))),
    'MD5, node:crypto': each((block) => createHash('md5').update(block).digest()),
    ...Object.fromEntries(
      [2, 4, MAX_LANES].map((lanes) => [
        `MD5, ${lanes} lanes`,
        (): void => {
          for (let k = 0; k < MAX_LANES; k += lanes) digests.run(jobs.slice(k, k + lanes));
        },
      ]),
    ),
    'unpack (LZ4 decode, CRC-32C)': () => {
      for (const { codec, bytes } of stored) codecs.unpack(bytes, codec, plain);
    },
  };
}

/** Four reads at the same time, as the file reader does. */
async function readAll(path: string, targets: readonly Buffer[]): Promise<number> {
  const file = await open(path);
  const blocks = Math.floor((await file.stat()).size / MIB);
  const indexes = Array.from({ length: blocks }).keys();
  async function lane(target: Buffer): Promise<void> {
    for (const index of indexes) await file.read(target, 0, MIB, index * MIB);
  }
  await Promise.all(targets.slice(0, 4).map(lane));
  await file.close();
  return blocks;
}

/** Writes batches of eight blocks, each with one `writev`, without a sync. */
async function writeAll(path: string, targets: readonly Buffer[], count: number): Promise<number> {
  const file = await open(path, 'w');
  const pieces = targets.map((target) => target.subarray(0, MIB));
  for (let k = 0; k < count; k += pieces.length) await file.writev([...pieces], k * MIB);
  await file.close();
  await rm(path);
  return Math.ceil(count / pieces.length) * pieces.length;
}

async function timeIo(work: () => Promise<number>): Promise<{ cpu: number; wall: number }> {
  const [before, startedAtMs] = [process.cpuUsage(), performance.now()];
  const blocks = await work();
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1000 / blocks, wall: (performance.now() - startedAtMs) / blocks };
}

async function costOfIo(
  name: string,
  rounds: number,
  work: () => Promise<number>,
): Promise<StageCosts> {
  const samples: { cpu: number; wall: number }[] = [];
  for (let round = 0; round <= rounds; round++) samples.push(await timeIo(work));
  const measured = samples.slice(1);
  return {
    [name]: median(measured.map(({ cpu }) => cpu)),
    [`${name}, wall time`]: median(measured.map(({ wall }) => wall)),
  };
}

/** Medians over rounds in which the stages take turns. */
export async function stages({ file, output, rounds }: StagesArgument): Promise<StageCosts> {
  const slab = createSlab({ blockSizeBytes: MIB });
  const blocks = await fillSlots(slab, file);
  const works = Object.entries(await stagesOf(slab, blocks));
  const samples = new Map(works.map(([name]) => [name, [] as number[]]));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const [name, work] of works) {
      const spentMs = cpuMs(work) / MAX_LANES;
      if (round >= 0) samples.get(name)?.push(spentMs);
    }
    await nextTurn();
  }
  const ioRounds = Math.ceil(rounds / 5);
  return {
    ...(await costOfIo('read, 4 at once', ioRounds, () => readAll(file, blocks.raw))),
    ...Object.fromEntries([...samples].map(([name, values]) => [name, median(values)])),
    ...(await costOfIo('write, 8 blocks a call', ioRounds, () => writeAll(output, blocks.raw, 64))),
  };
}
