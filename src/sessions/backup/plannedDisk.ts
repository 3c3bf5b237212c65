/** The plan of one disk, for images and for disks of an engine. */
import type { DiskMode } from '../../flow/records.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';
import type { ProgressDisk } from '../shared/progress.ts';

/** Disks whose pipelines run at once; they share slab, workers and container. */
export const PARALLEL_DISKS = 2;

/** How a disk is read and stored. */
export interface PlannedDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly sizeBytes: number;
  readonly mode: DiskMode;
  readonly content: DiskPoint['content'];
  readonly reason: string;
  /** The disk at the parent point, where it is compared with it. */
  readonly parentDisk: DiskPoint | undefined;
  /** Only for disks of an engine. */
  readonly hardware?: DiskHardware | undefined;
}

/** How a disk was stored and plugged in. */
export type DiskHardware = Pick<DiskPoint, 'format' | 'interface' | 'bootable'>;

/** The disk for the plan in progress events. Its extents are not known yet. */
export function progressOfPlan({ diskId, alias, mode, sizeBytes }: PlannedDisk): ProgressDisk {
  return { diskId, alias, mode, sizeBytes };
}
