/** The MD5 kernel alone against node:crypto: CPU time per MiB by the number of blocks in a batch. */
import { createHash, randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { formatTable } from '../src/cli/output.ts';
import { MIB } from '../src/core/units.ts';
import { type DigestJob, LaneDigests, MAX_LANES, TAIL_BYTES } from '../src/pipeline/laneDigests.ts';
import { createSlab, RESULT_BYTES, type Slab } from '../src/pipeline/slab.ts';
import { compileSlabKernels } from '../src/pipeline/slabKernels.ts';
import { median } from './statistics.ts';

const ROUNDS = 31;
/** The kernel is first run as plain code, and compiled anew when it proves busy. */
const WARM_UP_ROUNDS = 10;

/** CPU time instead of wall time: other programs on the machine count less. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Whole blocks of random bytes, and where their digests go. */
async function fillSlots(slab: Slab): Promise<{ blocks: Buffer[]; jobs: DigestJob[] }> {
  const lease = slab.lease();
  const slots = await Promise.all(Array.from({ length: MAX_LANES }, () => lease.acquireRaw()));
  for (const { bytes } of slots) bytes.set(randomBytes(MIB));
  const jobs = slots.map(({ bytes, slotIndex }) => ({
    sourceOffset: bytes.byteOffset,
    sourceBytes: MIB,
    digestOffset: slotIndex * RESULT_BYTES,
    tailOffset: (slotIndex + 1) * RESULT_BYTES - TAIL_BYTES,
  }));
  return { blocks: slots.map((slot) => slot.bytes), jobs };
}

/** Prints ms per MiB of whole blocks, medians over interleaved rounds, and the ratio of the medians. */
export async function printDigests(): Promise<void> {
  const slab = createSlab({ blockSizeBytes: MIB });
  const { blocks, jobs } = await fillSlots(slab);
  const digests = new LaneDigests(slab.memory, compileSlabKernels().md5);
  const ours = jobs.map((): number[] => []);
  const peer: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    const block = blocks[Math.abs(round) % MAX_LANES] ?? Buffer.alloc(0);
    const peerMs = cpuMs(() => createHash('md5').update(block).digest());
    if (round >= 0) peer.push(peerMs);
    for (const [k, samples] of ours.entries()) {
      const sampleMs = cpuMs(() => digests.run(jobs.slice(0, k + 1))) / (k + 1);
      if (round >= 0) samples.push(sampleMs);
    }
    await nextTurn();
  }
  const peerMs = median(peer);
  const rows = ours.map((samples, k) => {
    const oursMs = median(samples);
    return [String(k + 1), oursMs.toFixed(3), peerMs.toFixed(3), (peerMs / oursMs).toFixed(2)];
  });
  const header = ['blocks', 'CPU ms/MiB ours', 'node:crypto', 'times as fast'];
  process.stdout.write(`${formatTable(header, rows)}\n`);
}
