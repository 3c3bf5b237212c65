/** Sparse image files: data at some offsets, holes elsewhere. */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** Bytes of a file and their offset. */
export type Island = readonly [offsetBytes: number, bytes: Uint8Array];

/** Makes a file of `sizeBytes` in which only the islands are stored. */
export function writeIslands(file: string, sizeBytes: number, islands: readonly Island[]): string {
  const handle = openSync(file, 'w');
  try {
    ftruncateSync(handle, sizeBytes);
    for (const [offsetBytes, bytes] of islands)
      writeSync(handle, bytes, 0, bytes.length, offsetBytes);
  } finally {
    closeSync(handle);
  }
  return file;
}

/** Turns bytes of a file into a hole. */
export function punchHole(file: string, offsetBytes: number, lengthBytes: number): void {
  execFileSync('fallocate', ['-p', '-o', `${offsetBytes}`, '-l', `${lengthBytes}`, file]);
}
