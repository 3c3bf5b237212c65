/**
 * Writes the files in src/compute/kernels that carry the kernels. A test compares them with their
 * source.
 *
 *     npm run kernels
 */
import { writeFile } from 'node:fs/promises';
import { assemble, bytesFile } from './assemble.ts';
import { KERNEL_FILES } from './kernelFiles.ts';

for (const kernel of KERNEL_FILES) {
  const bytes = await assemble(kernel.text());
  await writeFile(`src/compute/kernels/${kernel.target}`, bytesFile(kernel, bytes));
}
