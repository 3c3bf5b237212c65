/**
 * Memory for sealed bytes on their way to the file. The byte of offset n of the file lies at n
 * modulo the size of the ring. So whole pages of the file are whole pages of memory.
 */

/** A multiple of the page of WebAssembly, which is a multiple of the page of the file. */
const WASM_PAGE_BYTES = 65_536;

/** The part of WebAssembly that is needed. TypeScript keeps its types in lib.dom. */
interface Wasm {
  readonly Memory: new (descriptor: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: boolean;
  }) => { readonly buffer: SharedArrayBuffer };
}

/** Memory that begins at a page. Memory of a SharedArrayBuffer alone need not. */
export function createRingMemory(bytes: number): SharedArrayBuffer {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  const { Memory } = (globalThis as unknown as { readonly WebAssembly: Wasm }).WebAssembly;
  return new Memory({ initial: pages, maximum: pages, shared: true }).buffer;
}

export class Ring {
  readonly memory: SharedArrayBuffer;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
  }

  get sizeBytes(): number {
    return this.memory.byteLength;
  }

  /** The memory of a range of the file: two pieces where it passes the end of the ring. */
  at(offsetBytes: number, lengthBytes: number): Uint8Array[] {
    const from = offsetBytes % this.sizeBytes;
    const head = Math.min(lengthBytes, this.sizeBytes - from);
    const pieces = [new Uint8Array(this.memory, from, head)];
    if (head < lengthBytes) pieces.push(new Uint8Array(this.memory, 0, lengthBytes - head));
    return pieces;
  }

  /** @returns the memory that holds the bytes now */
  put(bytes: Uint8Array, offsetBytes: number): Uint8Array[] {
    const pieces = this.at(offsetBytes, bytes.length);
    let done = 0;
    for (const piece of pieces) {
      // As fast as the machine copies; set() copies shared memory word by word.
      const target = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      target.fill(bytes.subarray(done, done + piece.length));
      done += piece.length;
    }
    return pieces;
  }
}
