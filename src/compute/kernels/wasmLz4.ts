/**
 * LZ4 by the kernel (kernels/lz4.ts), for threads without the native build. The bytes are copied
 * into the kernel's own memory and back, so a damaged block cannot reach the slab or the heap.
 */
import { LZ4_KERNEL_BASE64 } from './lz4KernelBytes.ts';
import { roundUp } from '../../core/units.ts';
import { wasm } from './wasm.ts';

/** Where the kernel expects the source. Its table lies before it. */
const SOURCE_OFFSET = 131_072;
/** The kernel copies 16 bytes at a time and so passes the end of source and target. */
const SLACK_BYTES = 64;
const PAGE_BYTES = 65_536;

/** Addresses of source, end of source, target, end of target. */
type BlockFunction = (from: number, fromEnd: number, to: number, toEnd: number) => number;

interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly encode: BlockFunction;
  readonly decode: BlockFunction;
}

/** The block functions of one thread. The memory grows to the largest source plus target. */
export class WasmLz4 {
  readonly #kernel: Kernel;

  constructor() {
    const module = new wasm.Module(Buffer.from(LZ4_KERNEL_BASE64, 'base64'));
    this.#kernel = new wasm.Instance(module, {}).exports as unknown as Kernel;
  }

  /** Returns the bytes written into `target`; 0 when they do not fit. */
  encode(source: Buffer, target: Buffer): number {
    return this.#run(this.#kernel.encode, source, target);
  }

  /** Returns the bytes written into `target`; a negative number for a damaged block. */
  decode(source: Buffer, target: Buffer): number {
    return this.#run(this.#kernel.decode, source, target);
  }

  #run(run: BlockFunction, source: Buffer, target: Buffer): number {
    const sourceEnd = SOURCE_OFFSET + source.length;
    const targetOffset = roundUp(sourceEnd + SLACK_BYTES, SLACK_BYTES);
    const targetEnd = targetOffset + target.length;
    this.#reserve(targetEnd + SLACK_BYTES);
    const bytes = Buffer.from(this.#kernel.memory.buffer);
    source.copy(bytes, SOURCE_OFFSET);
    const written = run(SOURCE_OFFSET, sourceEnd, targetOffset, targetEnd);
    if (written > 0) bytes.copy(target, 0, targetOffset, targetOffset + written);
    return written;
  }

  #reserve(neededBytes: number): void {
    const missingBytes = neededBytes - this.#kernel.memory.buffer.byteLength;
    if (missingBytes > 0) this.#kernel.memory.grow(Math.ceil(missingBytes / PAGE_BYTES));
  }
}
