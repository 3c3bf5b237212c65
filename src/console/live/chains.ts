/** Restore points of a VM, and where the changes of a point lie. */
import { UsageError } from '../../core/errors.ts';
import type { JobConfig } from '../../jobs/jobFile.ts';
import type { VmState } from '../../jobs/jobState.ts';
import type { Repository } from '../../repository/repository.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { readPointReport } from '../../sessions/history/listReports.ts';
import { compactTime, sessionFilesIn } from '../../sessions/history/sessionFiles.ts';
import { type ListedPoint, listFolder } from '../../sessions/inspect/listRepository.ts';
import type { Chain, DiskMap, PointName, PointRow } from '../contract.ts';
import type { RepositoryAccess } from './repositoryAccess.ts';

/** A VM of a job, and what it is called in requests. */
export interface NamedVm {
  readonly job: JobConfig;
  readonly vm: VmState;
}

/** @throws {@link UsageError} `USAGE_NOT_FOUND` */
async function folderOf(repository: Repository, { vmId, vmName }: VmState): Promise<VmFolder> {
  const folder = vmId === '' ? undefined : await repository.vmById(vmId);
  return folder ?? (await repository.requireVm(vmId || vmName));
}

/** The chain of a VM. Without a folder in the repository it has no points. */
export async function readChain(access: RepositoryAccess, { job, vm }: NamedVm): Promise<Chain> {
  const { vmId, vmName } = vm;
  const points = await access.use(job.repository, async (repository) => {
    const folder = vmId === '' ? await repository.findVm(vmName) : await repository.vmById(vmId);
    return folder ? await pointsOf(folder) : [];
  });
  return { jobName: job.name, vmKey: vmId || vmName, vmName, points };
}

async function pointsOf(folder: VmFolder): Promise<PointRow[]> {
  const { points } = await listFolder(folder);
  const files = sessionFilesIn(await folder.place.fileNames());
  const times = files.filter((file) => file.type === 'backup' && !file.isFailed);
  const withReport = new Set(times.map(({ time }) => time));
  return points.map((point) => pointRow(point, withReport));
}

function pointRow(point: ListedPoint, withReport: ReadonlySet<string>): PointRow {
  const { pointId, number, type, createdAt, fileName, fileBytes, parentPointId } = point;
  return {
    pointId,
    number,
    type,
    createdAt,
    fileName,
    fileBytes,
    parentPointId,
    lockedUntil: point.lockedUntil,
    isDamaged: point.verified?.isDamaged,
    disks: point.disks.map(({ diskId, alias, sizeBytes }) => ({ diskId, alias, sizeBytes })),
    hasMap: withReport.has(compactTime(createdAt)),
  };
}

/**
 * Maps of the disks of a point; undefined when its session has left no report, or one without maps.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`
 */
export async function readBlockMap(
  access: RepositoryAccess,
  named: NamedVm,
  pointId: string,
): Promise<readonly DiskMap[] | undefined> {
  return await access.use(named.job.repository, async (repository) => {
    const folder = await folderOf(repository, named.vm);
    const { points } = await folder.requireMetadata();
    const point = points.find((one) => one.pointId === pointId);
    if (!point) throw noSuchPoint(pointId, named.vm);
    const record = await readPointReport(folder, point);
    const maps = record?.report.disks.flatMap(({ blockMap, ...disk }) => {
      const { diskId, alias, sizeBytes, mode } = disk;
      return blockMap ? [{ diskId, alias, sizeBytes, mode, ...blockMap }] : [];
    });
    return maps && maps.length > 0 ? maps : undefined;
  });
}

/**
 * The point that a task names.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`, also for disks that the point does not have
 */
export async function requirePoint(
  access: RepositoryAccess,
  named: NamedVm,
  { pointId }: PointName,
  diskIds: readonly string[],
): Promise<PointRow> {
  const { points } = await readChain(access, named);
  const point = points.find((one) => one.pointId === pointId);
  if (!point) throw noSuchPoint(pointId, named.vm);
  const missing = diskIds.find((diskId) => !point.disks.some((disk) => disk.diskId === diskId));
  if (missing === undefined) return point;
  throw new UsageError('USAGE_NOT_FOUND', `restore point ${pointId} has no disk "${missing}"`, {
    hint: `its disks are: ${point.disks.map(({ diskId }) => diskId).join(', ')}`,
  });
}

function noSuchPoint(pointId: string, { vmName }: VmState): UsageError {
  const text = `restore point "${pointId}" of ${vmName} does not exist`;
  return new UsageError('USAGE_NOT_FOUND', text, {
    hint: 'it may have been pruned: look at the chain of the VM again',
  });
}
