import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { assemble, bytesFile } from '../../../kernels/assemble.ts';
import { md5KernelText } from '../../../kernels/md5.ts';
import { compileMd5Kernel } from '../../../src/pipeline/laneDigests.ts';
import { wasm } from '../../../src/pipeline/wasm.ts';

const BYTES_FILE = path.resolve(import.meta.dirname, '../../../src/pipeline/md5KernelBytes.ts');
const SIMD_AND_THREADS = `(module
  (memory 1 1 shared)
  (func (export "f") (v128.store (i32.const 0) (i32x4.splat (i32.const 1)))))`;

async function canCompile(text: string): Promise<boolean> {
  const bytes = await assemble(text);
  try {
    return Boolean(new wasm.Module(bytes));
  } catch {
    return false;
  }
}

describe('the MD5 kernel', () => {
  test('in the product is what its source gives', async () => {
    const generated = bytesFile(await assemble(md5KernelText()));

    expect(await readFile(BYTES_FILE, 'utf8')).toBe(generated);
  });

  test('is compiled where there are SIMD and threads', async () => {
    expect(compileMd5Kernel() !== undefined).toBe(await canCompile(SIMD_AND_THREADS));
  });

  test('takes a memory of the largest slab', () => {
    const memory = new wasm.Memory({ initial: 1, maximum: 32_768, shared: true });
    const module = compileMd5Kernel();

    const instance = module && new wasm.Instance(module, { slab: { memory } });

    expect(Object.keys(instance?.exports ?? {})).toEqual(['advance4', 'advance8']);
  });
});
