/** The kernels of the product. */
import type { KernelFile } from './assemble.ts';
import { lz4KernelText } from './lz4.ts';
import { md5KernelText } from './md5.ts';
import { xxh64KernelText } from './xxh64.ts';

export const KERNEL_FILES: readonly KernelFile[] = [
  {
    title: 'MD5',
    source: 'md5.ts',
    target: 'md5KernelBytes.ts',
    constant: 'MD5_KERNEL_BASE64',
    text: () => md5KernelText(),
  },
  {
    title: 'xxHash64',
    source: 'xxh64.ts',
    target: 'xxh64KernelBytes.ts',
    constant: 'XXH64_KERNEL_BASE64',
    text: xxh64KernelText,
  },
  {
    title: 'LZ4',
    source: 'lz4.ts',
    target: 'lz4KernelBytes.ts',
    constant: 'LZ4_KERNEL_BASE64',
    text: lz4KernelText,
  },
];
