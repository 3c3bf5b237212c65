/**
 * Writes src/pipeline/md5KernelBytes.ts; a test compares that file with what it would write.
 *
 *   npm run kernels
 */
import { writeFile } from 'node:fs/promises';
import { assemble, bytesFile } from './assemble.ts';
import { md5KernelText } from './md5.ts';

await writeFile('src/pipeline/md5KernelBytes.ts', bytesFile(await assemble(md5KernelText())));
