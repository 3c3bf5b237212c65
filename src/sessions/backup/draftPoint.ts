/** The record of a new restore point, before and after its disks are read. */
import { randomUUID } from 'node:crypto';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { DiskResult } from './backupDisk.ts';
import type { PlannedDisk } from './plannedDisk.ts';

/** Where a new restore point goes. */
export interface PointPlace {
  readonly folder: VmFolder;
  /** All points of the VM. */
  readonly points: readonly RestorePoint[];
  readonly parent: RestorePoint | undefined;
}

/** A restore point before its disks are known. */
export async function draftPoint(
  { folder, points, parent }: PointPlace,
  startedAt: Date,
  blockSizeBytes: number,
): Promise<Omit<RestorePoint, 'disks'>> {
  const type = parent ? 'increment' : 'full';
  const pointId = randomUUID();
  return {
    pointId,
    number: 1 + Math.max(0, ...points.map((point) => point.number)),
    type,
    chainId: parent?.chainId ?? pointId,
    parentPointId: parent?.pointId ?? '',
    fileName: await folder.unusedContainerName(type, startedAt),
    createdAt: startedAt.toISOString(),
    checkpointId: '',
    blockSizeBytes,
    fileBytes: 0,
  };
}

/** The record of a disk in its restore point. */
export function toDiskPoint(
  planned: PlannedDisk,
  result: DiskResult,
  changedWhileRead: boolean | undefined,
): DiskPoint {
  const { diskId, alias, sizeBytes, mode, reason, readBytes, changedBytes, storedBytes } =
    result.report;
  const counts = { readBytes, changedBytes, storedBytes };
  const { content, hardware } = planned;
  const facts = { ...counts, ...hardware, ...(changedWhileRead && { changedWhileRead }) };
  return { diskId, alias, sizeBytes, content, mode, reason, ...facts };
}
