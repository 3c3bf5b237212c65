/** The WebAssembly kernels that work on the slab, compiled once and given to every thread. */
import { MD5_KERNEL_BASE64 } from './md5KernelBytes.ts';
import { compileKernel, type WasmModule } from './wasm.ts';
import { XXH64_KERNEL_BASE64 } from './xxh64KernelBytes.ts';

/**
 * The compiled kernels. node:crypto and xxhash-wasm replace a missing kernel; the results are the
 * same.
 */
export interface SlabKernels {
  readonly md5?: WasmModule | undefined;
  readonly xxh64?: WasmModule | undefined;
}

let compiled: SlabKernels | undefined;

/**
 * Compiles the kernels, once in a process: its sessions and threads share them. A kernel that this
 * machine cannot execute is left out.
 */
export function compileSlabKernels(): SlabKernels {
  compiled ??= {
    md5: compileKernel(MD5_KERNEL_BASE64),
    xxh64: compileKernel(XXH64_KERNEL_BASE64),
  };
  return compiled;
}
