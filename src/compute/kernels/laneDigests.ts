/**
 * MD5 of up to eight blocks at the same time, in place. The kernel (kernels/md5.ts) imports the
 * memory of the slab and advances one state for each block. The padding of RFC 1321, section 3, is
 * built in a separate tail. No byte after the block is touched.
 *
 * `node:crypto` does the work where the kernel cannot be compiled. It also does so where the lanes
 * do not pay: there are too few blocks, or their lengths differ too much.
 */
import { createHash } from 'node:crypto';
import { invariant } from '../../core/errors.ts';
import { type SharedWasmMemory, type WasmModule, wasm } from './wasm.ts';

/** Most blocks that one call hashes. */
export const MAX_LANES = 8;
const FEW_LANES = 4;
const CHUNK_BYTES = 64;
/** Room for the bytes after the last whole chunk: up to 63 bytes, the padding and the length. */
export const TAIL_BYTES: number = 2 * CHUNK_BYTES;
const LENGTH_BYTES = 8;
/**
 * RFC 1321, section 3.3: the words 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, low byte first.
 */
const INITIAL_STATE: Buffer = Buffer.from('0123456789abcdeffedcba9876543210', 'hex');
/**
 * The kernel pays when the total length exceeds this many times the longest block. For up to four
 * blocks of one length, four lanes take 1.17 times as long as node:crypto for one of them
 * (bench/RESULTS.md).
 */
const BREAK_EVEN_BLOCKS = 1.2;

/** One block to hash. All offsets are byte offsets in the slab. */
export interface DigestJob {
  readonly sourceOffset: number;
  readonly sourceBytes: number;
  /** Where the 16 bytes of the digest go. */
  readonly digestOffset: number;
  /** Working room of {@link TAIL_BYTES} bytes that no other job uses. */
  readonly tailOffset: number;
}

/** Arguments: (chunks, state address, source address, state address, …); see kernels/md5.ts. */
type Advance = (chunkCount: number, ...addresses: number[]) => void;

interface Kernel {
  readonly advance4: Advance;
  readonly advance8: Advance;
}

interface Lane {
  readonly stateOffset: number;
  sourceOffset: number;
  chunkCount: number;
}

/** Computes the digests of one thread. */
export class LaneDigests {
  readonly #bytes: Buffer;
  readonly #kernel: Kernel | undefined;

  constructor(memory: SharedWasmMemory, module: WasmModule | undefined) {
    this.#bytes = Buffer.from(memory.buffer);
    this.#kernel = module
      ? (new wasm.Instance(module, { slab: { memory } }).exports as unknown as Kernel)
      : undefined;
  }

  /** Writes the MD5 of each block, at most {@link MAX_LANES}, to its `digestOffset`. */
  run(jobs: readonly DigestJob[]): void {
    invariant(jobs.length <= MAX_LANES, 'more blocks than lanes');
    const lengths = jobs.map((job) => job.sourceBytes);
    const totalBytes = lengths.reduce((sum, bytes) => sum + bytes, 0);
    if (this.#kernel && totalBytes > BREAK_EVEN_BLOCKS * Math.max(...lengths)) {
      this.#runLanes(jobs, this.#kernel);
      return;
    }
    for (const { sourceOffset, sourceBytes, digestOffset } of jobs) {
      const source = this.#bytes.subarray(sourceOffset, sourceOffset + sourceBytes);
      this.#bytes.set(createHash('md5').update(source).digest(), digestOffset);
    }
  }

  #runLanes(jobs: readonly DigestJob[], kernel: Kernel): void {
    const wholeChunks = jobs.map((job): Lane => {
      this.#bytes.set(INITIAL_STATE, job.digestOffset);
      return {
        stateOffset: job.digestOffset,
        sourceOffset: job.sourceOffset,
        chunkCount: Math.floor(job.sourceBytes / CHUNK_BYTES),
      };
    });
    const tails = jobs.map(
      (job): Lane => ({
        stateOffset: job.digestOffset,
        sourceOffset: job.tailOffset,
        chunkCount: this.#writeTail(job),
      }),
    );
    for (const lanes of [wholeChunks, tails]) advanceAll(lanes, kernel);
  }

  /**
   * Writes the rest, the padding and the bit length of a block into its tail. Returns the number of
   * chunks that they fill.
   */
  #writeTail({ sourceOffset, sourceBytes, tailOffset }: DigestJob): number {
    const restBytes = sourceBytes % CHUNK_BYTES;
    const chunkCount = restBytes + 1 + LENGTH_BYTES <= CHUNK_BYTES ? 1 : 2;
    const endOffset = sourceOffset + sourceBytes;
    const tail = this.#bytes.subarray(tailOffset, tailOffset + chunkCount * CHUNK_BYTES);
    tail.fill(0);
    tail.set(this.#bytes.subarray(endOffset - restBytes, endOffset));
    tail[restBytes] = 0x80;
    tail.writeBigUInt64LE(BigInt(sourceBytes) * 8n, tail.length - LENGTH_BYTES);
    return chunkCount;
  }
}

/**
 * Hashes all chunks of all lanes. Lanes advance together for the length of the shortest one; then
 * the longer ones go on without it.
 */
function advanceAll(lanes: readonly Lane[], kernel: Kernel): void {
  let open = lanes.filter((lane) => lane.chunkCount > 0);
  while (open.length > 0) {
    const chunkCount = Math.min(...open.map((lane) => lane.chunkCount));
    advance(open, chunkCount, kernel);
    for (const lane of open) {
      lane.sourceOffset += chunkCount * CHUNK_BYTES;
      lane.chunkCount -= chunkCount;
    }
    open = open.filter((lane) => lane.chunkCount > 0);
  }
}

/**
 * One call of the kernel. Lanes without a block repeat the first block, which writes the same state
 * twice.
 */
function advance(open: readonly Lane[], chunkCount: number, kernel: Kernel): void {
  const isFew = open.length <= FEW_LANES;
  const addresses = Array.from({ length: isFew ? FEW_LANES : MAX_LANES }, (_, k) => {
    const lane = open[k] ?? open[0];
    return lane ? [lane.stateOffset, lane.sourceOffset] : [];
  });
  (isFew ? kernel.advance4 : kernel.advance8)(chunkCount, ...addresses.flat());
}
