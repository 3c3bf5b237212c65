/**
 * Types of the part of WebAssembly that the pipeline uses. TypeScript keeps them in lib.dom, which
 * a Node library does not load.
 */

/** A shared WebAssembly memory. */
export interface SharedWasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** A compiled module. It can be sent to a worker thread, which then need not compile it again. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

interface WasmApi {
  readonly Memory: new (descriptor: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: boolean;
  }) => SharedWasmMemory;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => WasmInstance;
  readonly CompileError: new (message: string) => Error;
}

export const wasm: WasmApi = (globalThis as unknown as { readonly WebAssembly: WasmApi })
  .WebAssembly;

/**
 * Compiles a kernel of the product. `undefined` where this machine cannot execute it: it lacks SIMD
 * or threads.
 */
export function compileKernel(base64: string): WasmModule | undefined {
  try {
    return new wasm.Module(Buffer.from(base64, 'base64'));
  } catch (error) {
    if (error instanceof wasm.CompileError) return undefined;
    throw error;
  }
}
