/**
 * Fingerprints of blocks in the slab, in place: the kernel (kernels/xxh64.ts) imports the memory of
 * the slab. A block may be given in pieces, as they are read. Where the kernel cannot be compiled,
 * `xxhash-wasm` does the work; it first copies the block into a memory of its own.
 */
import { invariant } from '../../core/errors.ts';
import { type SharedWasmMemory, type WasmModule, wasm } from './wasm.ts';

const STRIPE_BYTES = 32;
/** Bytes of one fingerprint, as stored. */
export const FINGERPRINT_BYTES = 8;
/** Room for the state of one block: four accumulators of 8 bytes. */
export const FINGERPRINT_STATE_BYTES = 32;
/** Accumulators for seed 0: P1 + P2, P2, 0 and -P1 of the xxHash specification. */
const INITIAL_STATE: Buffer = Buffer.alloc(FINGERPRINT_STATE_BYTES);
INITIAL_STATE.writeBigUInt64LE(0x60ea_27ee_adc0_b5d6n, 0);
INITIAL_STATE.writeBigUInt64LE(0xc2b2_ae3d_27d4_eb4fn, 8);
INITIAL_STATE.writeBigUInt64LE(0x61c8_864e_7a14_3579n, 24);

interface Kernel {
  readonly advance: (state: number, source: number, stripes: number) => void;
  readonly finish: (state: number, tail: number, tailBytes: number, totalBytes: number) => bigint;
}

/** A fingerprint in the making, for a block that comes in pieces. */
export interface RunningFingerprint {
  /**
   * Adds the next piece, at a byte offset of the slab. The length of every piece except the last is
   * a multiple of 32 bytes.
   */
  take(sourceOffset: number, lengthBytes: number): void;
  /**
   * Returns the xxHash64 (seed 0) of all pieces. It is never 0, because 0 stands for a zero block.
   */
  finish(): bigint;
}

/** A fingerprint in the making, for bytes outside the slab. */
export interface PiecewiseFingerprint {
  update(piece: Uint8Array): void;
  finish(): bigint;
}

/** Computes fingerprints where the kernel cannot be compiled. */
export interface FingerprintFallback {
  readonly startFingerprint: () => PiecewiseFingerprint;
}

/** Computes the fingerprints of one thread. */
export class SlabFingerprints {
  readonly #bytes: Buffer;
  readonly #kernel: Kernel | undefined;
  readonly #codecs: FingerprintFallback;

  constructor(
    memory: SharedWasmMemory,
    module: WasmModule | undefined,
    codecs: FingerprintFallback,
  ) {
    this.#bytes = Buffer.from(memory.buffer);
    this.#codecs = codecs;
    this.#kernel = module
      ? (new wasm.Instance(module, { slab: { memory } }).exports as unknown as Kernel)
      : undefined;
  }

  /**
   * Fingerprint of a whole block.
   *
   * @param stateOffset - as in {@link start}
   */
  of(sourceOffset: number, lengthBytes: number, stateOffset: number): bigint {
    const running = this.start(stateOffset);
    running.take(sourceOffset, lengthBytes);
    return running.finish();
  }

  /**
   * Starts the fingerprint of one block.
   *
   * @param stateOffset - byte offset of {@link FINGERPRINT_STATE_BYTES} in the slab. The room
   *   belongs to this block until `finish`.
   */
  start(stateOffset: number): RunningFingerprint {
    if (!this.#kernel) return new CopiedFingerprint(this.#bytes, this.#codecs.startFingerprint());
    this.#bytes.set(INITIAL_STATE, stateOffset);
    return new KernelFingerprint(this.#kernel, stateOffset);
  }
}

class KernelFingerprint implements RunningFingerprint {
  readonly #kernel: Kernel;
  readonly #stateOffset: number;
  #totalBytes = 0;
  #tailOffset = 0;
  #tailBytes = 0;

  constructor(kernel: Kernel, stateOffset: number) {
    this.#kernel = kernel;
    this.#stateOffset = stateOffset;
  }

  take(sourceOffset: number, lengthBytes: number): void {
    invariant(
      this.#tailBytes === 0,
      `a piece before the last one ends with ${this.#tailBytes} B of a stripe`,
    );
    const stripes = Math.floor(lengthBytes / STRIPE_BYTES);
    this.#kernel.advance(this.#stateOffset, sourceOffset, stripes);
    this.#totalBytes += lengthBytes;
    this.#tailOffset = sourceOffset + stripes * STRIPE_BYTES;
    this.#tailBytes = lengthBytes % STRIPE_BYTES;
  }

  finish(): bigint {
    const hash = this.#kernel.finish(
      this.#stateOffset,
      this.#tailOffset,
      this.#tailBytes,
      this.#totalBytes,
    );
    return hash === 0n ? 1n : BigInt.asUintN(64, hash);
  }
}

/** Used where the kernel cannot be compiled. */
class CopiedFingerprint implements RunningFingerprint {
  readonly #bytes: Buffer;
  readonly #running: PiecewiseFingerprint;

  constructor(bytes: Buffer, running: PiecewiseFingerprint) {
    this.#bytes = bytes;
    this.#running = running;
  }

  take(sourceOffset: number, lengthBytes: number): void {
    this.#running.update(this.#bytes.subarray(sourceOffset, sourceOffset + lengthBytes));
  }

  finish(): bigint {
    return this.#running.finish();
  }
}
