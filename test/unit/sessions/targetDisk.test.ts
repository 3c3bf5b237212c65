import { describe, expect, it } from 'vitest';
import type { StorageDomain } from '../../../src/ovirt/engine/entities.ts';
import {
  isBlockStorage,
  planTargetDisk,
  qcow2SizeBytes,
  type TargetFormat,
} from '../../../src/sessions/restore/targetDisk.ts';
import { GIB_BYTES, KIB, MIB } from '../../helpers/bytes/images.ts';
import { diskPoint } from '../../helpers/repository/madeUp.ts';

const TIB_BYTES = 1024 * GIB_BYTES;
const CLUSTER_BYTES = 64 * KIB;

function domain(storageType: string): StorageDomain {
  return {
    id: 'sd1',
    name: 'data',
    type: 'data',
    status: undefined,
    availableBytes: undefined,
    storageType,
  };
}

function plan(stored: 'cow' | 'raw' | undefined, format: TargetFormat, storageType: string) {
  const disk = diskPoint({ sizeBytes: 10 * GIB_BYTES, format: stored });
  return planTargetDisk(disk, GIB_BYTES, domain(storageType), {
    format,
    name: 'web1_sys',
    description: 'of this restore',
  });
}

/** The combinations that the engine accepts: format, allocation, tracking, kind of storage. */
function isAllowed(wanted: ReturnType<typeof plan>, isBlock: boolean): boolean {
  const { format, sparse, incremental } = wanted;
  if (format === 'raw') return !incremental && !(sparse && isBlock);
  return sparse || incremental;
}

describe('the disk that a restore asks for', () => {
  const stored = ['cow', 'raw', undefined] as const;
  const formats = ['same', 'cow', 'raw'] as const;
  const storages = ['nfs', 'posixfs', 'localfs', 'glusterfs', 'iscsi', 'fcp'];
  const cases = stored.flatMap((from) =>
    formats.flatMap((format) => storages.map((storage) => [from, format, storage] as const)),
  );

  it.each(cases)('stored as %s, wanted as %s on %s is in an allowed combination', (...facts) => {
    const wanted = plan(...facts);

    const [from = 'cow', format, storage] = facts;
    expect(isAllowed(wanted, isBlockStorage(domain(storage)))).toBe(true);
    expect(wanted.format).toBe(format === 'same' ? from : format);
    expect(wanted).toMatchObject({ name: 'web1_sys', virtualSizeBytes: 10 * GIB_BYTES });
  });

  it('is tracked where its format can be', () => {
    expect(plan('cow', 'same', 'nfs').incremental).toBe(true);
    expect(plan('raw', 'same', 'nfs').incremental).toBe(false);
  });

  it.each([
    ['cow', 'iscsi', qcow2SizeBytes(10 * GIB_BYTES, GIB_BYTES)],
    ['cow', 'fcp', qcow2SizeBytes(10 * GIB_BYTES, GIB_BYTES)],
    ['cow', 'nfs', undefined],
    ['raw', 'iscsi', undefined],
  ] as const)('as %s on %s has a first size of %s', (format, storage, initialSizeBytes) => {
    expect(plan('cow', format, storage).initialSizeBytes).toBe(initialSizeBytes);
  });
});

describe('the size of a qcow2 image', () => {
  it.each([
    ['empty', MIB, 0],
    ['full', 10 * GIB_BYTES, 10 * GIB_BYTES],
    ['with one byte', TIB_BYTES, 1],
    ['of 16 TiB', 16 * TIB_BYTES, 8 * TIB_BYTES],
  ])('%s is at least its data, its tables and a header, and little more', (_title, size, data) => {
    const bytes = qcow2SizeBytes(size, data);

    const tablesBytes = Math.ceil(size / (512 * MIB)) * CLUSTER_BYTES;
    const least = Math.ceil(data / CLUSTER_BYTES) * CLUSTER_BYTES + tablesBytes;
    expect(bytes).toBeGreaterThan(least);
    expect(bytes).toBeLessThan(least + size / 16_384 + MIB);
    expect(bytes % CLUSTER_BYTES).toBe(0);
  });

  it('grows with the data', () => {
    const sizes = [0, 1, CLUSTER_BYTES, CLUSTER_BYTES + 1, GIB_BYTES].map((data) =>
      qcow2SizeBytes(TIB_BYTES, data),
    );

    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
  });
});
