/**
 * Fingerprints of blocks in the slab, in place: the kernel (kernels/xxh64.ts) imports the slab's memory. A
 * block may be taken piece by piece, as it comes. `xxhash-wasm`, which copies a block into a memory of its
 * own first, does the work where the kernel cannot be compiled.
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

/** The fingerprint of a block whose bytes come piece by piece. */
export interface RunningFingerprint {
  /** Takes the next piece, at a byte offset of the slab; all but the last are multiples of 32 bytes long. */
  take(sourceOffset: number, lengthBytes: number): void;
  /** xxHash64 with seed 0 of all pieces; never 0, which stands for a zero block. */
  finish(): bigint;
}

/** A fingerprint of bytes outside the slab, piece by piece. */
export interface PiecewiseFingerprint {
  update(piece: Uint8Array): void;
  finish(): bigint;
}

/** Computes fingerprints where the kernel cannot run. */
export interface FingerprintFallback {
  readonly startFingerprint: () => PiecewiseFingerprint;
}

/** The fingerprints of one thread. */
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

  /** Fingerprint of a whole block. @param stateOffset - as in {@link start} */
  of(sourceOffset: number, lengthBytes: number, stateOffset: number): bigint {
    const running = this.start(stateOffset);
    running.take(sourceOffset, lengthBytes);
    return running.finish();
  }

  /** @param stateOffset - room of {@link FINGERPRINT_STATE_BYTES} in the slab, the block's own until the end. */
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
      `piece of ${this.#tailBytes} B beyond whole stripes before the last`,
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

/** Without the kernel. */
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
