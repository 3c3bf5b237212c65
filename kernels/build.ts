/**
 * Writes the files in src/pipeline that carry the kernels; a test compares them with what it would write.
 *
 *   npm run kernels
 */
import { writeFile } from 'node:fs/promises';
import { assemble, bytesFile } from './assemble.ts';
import { KERNEL_FILES } from './kernelFiles.ts';

for (const kernel of KERNEL_FILES) {
  const bytes = await assemble(kernel.text());
  await writeFile(`src/compute/kernels/${kernel.target}`, bytesFile(kernel, bytes));
}
