import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { assemble, bytesFile } from '../../../kernels/assemble.ts';
import { KERNEL_FILES } from '../../../kernels/kernelFiles.ts';
import { compileSlabKernels } from '../../../src/compute/kernels/slabKernels.ts';
import { compileKernel, wasm } from '../../../src/compute/kernels/wasm.ts';

const PIPELINE = path.resolve(import.meta.dirname, '../../../src/compute/kernels');
const SIMD_AND_THREADS = `(module
  (memory 1 1 shared)
  (func (export "f") (v128.store (i32.const 0) (i32x4.splat (i32.const 1)))))`;

describe.each(KERNEL_FILES)('the $title kernel', (kernel) => {
  test('in the product is what its source gives', async () => {
    const generated = bytesFile(kernel, await assemble(kernel.text()));

    expect(await readFile(path.join(PIPELINE, kernel.target), 'utf8')).toBe(generated);
  });
});

describe('the kernels of the slab', () => {
  test('are compiled where there are SIMD and threads', async () => {
    const bytes = Buffer.from(await assemble(SIMD_AND_THREADS));
    const canCompile = compileKernel(bytes.toString('base64')) !== undefined;

    const { md5, xxh64 } = compileSlabKernels();

    expect(md5 !== undefined && xxh64 !== undefined).toBe(canCompile);
  });

  test('are done without where this machine cannot compile them', () => {
    expect(compileKernel(Buffer.from('no module').toString('base64'))).toBeUndefined();
  });

  test('take a memory of the largest slab', () => {
    const memory = new wasm.Memory({ initial: 1, maximum: 32_768, shared: true });
    const { md5, xxh64 } = compileSlabKernels();

    const names = [md5, xxh64].map((module) =>
      Object.keys((module && new wasm.Instance(module, { slab: { memory } }).exports) ?? {}),
    );

    expect(names).toEqual([
      ['advance4', 'advance8'],
      ['advance', 'finish'],
    ]);
  });
});
