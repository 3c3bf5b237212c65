/** For tests of digests: a kernel that computes them wrong, and the right MD5. */
import { createHash } from 'node:crypto';
import { assemble } from '../../../kernels/assemble.ts';
import { md5KernelText, sineWord } from '../../../kernels/md5.ts';
import { type WasmModule, wasm } from '../../../src/compute/kernels/wasm.ts';

/** The MD5 kernel with one wrong bit in its table. All its digests are wrong. */
export async function brokenKernel(): Promise<WasmModule> {
  const text = md5KernelText((step) => sineWord(step) ^ (step === 40 ? 1 : 0));
  return new wasm.Module(await assemble(text));
}

export function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}
