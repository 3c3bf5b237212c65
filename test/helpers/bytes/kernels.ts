/** Kernels and blocks for tests of digests. */
import { createHash } from 'node:crypto';
import { assemble } from '../../../kernels/assemble.ts';
import { md5KernelText, sineWord } from '../../../kernels/md5.ts';
import { type WasmModule, wasm } from '../../../src/compute/kernels/wasm.ts';

/** A kernel with one wrong bit in its table: whatever it computes is wrong. */
export async function brokenKernel(): Promise<WasmModule> {
  const text = md5KernelText((step) => sineWord(step) ^ (step === 40 ? 1 : 0));
  return new wasm.Module(await assemble(text));
}

export function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}
