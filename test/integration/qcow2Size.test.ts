/**
 * The planned size of a thin disk against qemu-img measure. A disk too small fills up in its
 * upload.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { qcow2SizeBytes } from '../../src/sessions/restore/targetDisk.ts';
import { GIB_BYTES, KIB, MIB } from '../helpers/images.ts';
import { createRandom } from '../helpers/random.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const CLUSTER_BYTES = 64 * KIB;

/** A raw image with a byte in each of `clusters`; everything else is a hole. */
function writeSparse(file: string, sizeBytes: number, clusters: ReadonlySet<number>): void {
  const handle = openSync(file, 'w');
  try {
    ftruncateSync(handle, sizeBytes);
    for (const cluster of clusters)
      writeSync(handle, Buffer.from([1]), 0, 1, cluster * CLUSTER_BYTES);
  } finally {
    closeSync(handle);
  }
}

function measure(file: string): number {
  const args = ['measure', '--output=json', '-f', 'raw', '-O', 'qcow2', file];
  const answer = JSON.parse(execFileSync('qemu-img', args, { encoding: 'utf8' })) as {
    readonly required: number;
  };
  return answer.required;
}

function scattered(sizeBytes: number, count: number): Set<number> {
  const random = createRandom(sizeBytes + count);
  const clusters = Math.ceil(sizeBytes / CLUSTER_BYTES);
  return new Set(Array.from({ length: count }, () => random.below(clusters)));
}

function firstOnes(count: number): Set<number> {
  return new Set(Array.from({ length: count }, (_, k) => k));
}

describe('the size of a thin qcow2 disk', () => {
  const temp = useTempFolder();

  beforeAll(() => {
    // Without qemu-img nothing is proven, so this must not pass.
    execFileSync('qemu-img', ['--version'], { stdio: 'ignore' });
  });

  it.each([
    ['empty and small', MIB, firstOnes(0)],
    ['empty and large', 1024 * GIB_BYTES, firstOnes(0)],
    ['full', 32 * MIB, firstOnes(512)],
    ['full, with a tail', 32 * MIB + 512, firstOnes(513)],
    ['with data at its start', GIB_BYTES, firstOnes(300)],
    ['with data everywhere', 8 * GIB_BYTES, scattered(8 * GIB_BYTES, 500)],
    ['with data in each of its tables', 64 * GIB_BYTES, scattered(64 * GIB_BYTES, 2000)],
    ['with one cluster at its end', 100 * GIB_BYTES, new Set([100 * 16_384 - 1])],
  ])('is enough for a disk that is %s, and not much more', (_title, sizeBytes, clusters) => {
    const file = temp.path('disk.raw');
    writeSparse(file, sizeBytes, clusters);
    const dataBytes = Math.min(clusters.size * CLUSTER_BYTES, sizeBytes);

    const measured = measure(file);

    const bound = qcow2SizeBytes(sizeBytes, dataBytes);
    expect(bound).toBeGreaterThanOrEqual(measured);
    expect(bound - measured).toBeLessThan(MIB + sizeBytes / 4096);
  });
});
