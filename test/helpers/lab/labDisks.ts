/** Small disks of the lab, and flags of their extents. */
import { KIB, TIB } from '../../../src/core/units.ts';
import type { ViewExtent } from '../../../lab/src/dataPlane.ts';
import { type LabDiskOptions, LabDiskState, LabStorage } from '../../../lab/src/disks/labDisk.ts';

/** Bytes of a granule, the unit of a bitmap. */
export const G: number = 64 * KIB;

/** Eight granules, qcow2, on a large storage. */
export function labDisk(options: Partial<LabDiskOptions> = {}): LabDiskState {
  return new LabDiskState({
    id: 'd1',
    name: 'disk',
    sizeBytes: 8 * G,
    format: 'cow',
    storage: new LabStorage(TIB),
    ...options,
  });
}

export function filled(lengthBytes: number, value: number): Buffer {
  return Buffer.alloc(lengthBytes, value);
}

/** Numbers of the granules in extents with a flag. */
export function granulesWith(
  extents: readonly ViewExtent[],
  flag: 'zero' | 'hole' | 'dirty',
): number[] {
  return extents
    .filter((extent) => extent[flag])
    .flatMap(({ offsetBytes, lengthBytes }) =>
      Array.from({ length: Math.ceil(lengthBytes / G) }, (_, at) => offsetBytes / G + at),
    );
}
