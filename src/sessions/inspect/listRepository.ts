/**
 * Lists VMs and restore points of a repository. Reads only chain metadata, the records of verify,
 * and the leases of exports.
 */
import { type FolderFailure, forEachFolder } from '../shared/folderFailures.ts';
import { healthOfPoints, type PointHealth } from '../../repository/damage/pointHealth.ts';
import { activeLeases, isServed, type Lease } from '../../repository/lease/leases.ts';
import { Repository } from '../../repository/repository.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { currentContainers, readVerifyRecord } from '../../repository/damage/verifyRecord.ts';
import type { StoreFolder } from '../../store/store.ts';
import type { StoreOptions } from '../../store/store.ts';

export interface ListOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VM name or id. @defaultValue every VM */
  readonly vm?: string | undefined;
}

export interface ListedPoint extends RestorePoint {
  /** Result of the last verify. Absent while some container of the point has no valid check. */
  readonly verified?: PointHealth | undefined;
  /** Processes that serve the point. Absent when there are none. */
  readonly servedBy?: readonly PointServer[] | undefined;
}

/** A process that serves a restore point. */
export interface PointServer {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601, UTC. */
  readonly since: string;
}

export interface ListedVm {
  readonly vmName: string;
  readonly vmId: string;
  readonly folder: string;
  readonly points: readonly ListedPoint[];
}

export interface ListReport {
  readonly type: 'list';
  readonly repository: string;
  readonly vms: readonly ListedVm[];
  readonly failures: readonly FolderFailure[];
}

async function withState(
  folder: StoreFolder,
  points: readonly RestorePoint[],
): Promise<ListedPoint[]> {
  const checked = await currentContainers(folder, await readVerifyRecord(folder));
  const health = healthOfPoints(points, checked);
  const leases = await activeLeases(folder, Date.now());
  return points.map((point) => {
    const verified = health.get(point.pointId);
    const servedBy = serversOf(point, leases);
    return { ...point, ...(verified && { verified }), ...(servedBy.length > 0 && { servedBy }) };
  });
}

function serversOf(point: RestorePoint, leases: readonly Lease[]): PointServer[] {
  return leases.flatMap((lease) => {
    if (!lease.content || !isServed(point, lease)) return [];
    const { pid, host } = lease.content.process;
    return [{ pid, host, since: lease.content.since }];
  });
}

/** One VM. @throws {@link RepositoryError} as `VmFolder.readMetadata` */
export async function listFolder(folder: VmFolder): Promise<ListedVm> {
  const metadata = await folder.readMetadata();
  return {
    vmName: metadata?.vm.name ?? folder.safeName,
    vmId: folder.vmId,
    folder: folder.folder,
    points: await withState(folder.place, metadata?.points ?? []),
  };
}

/** @throws a {@link BackupError}: `REPOSITORY_NOT_FOUND`, `USAGE_NOT_FOUND` */
export async function listRepository(options: ListOptions): Promise<ListReport> {
  const { vm } = options;
  await using repository = await Repository.open(options.repository, options.store);
  const folders = vm ? [await repository.requireVm(vm)] : await repository.vmFolders();
  const vms: ListedVm[] = [];
  const failures = await forEachFolder(folders, async (folder) => {
    vms.push(await listFolder(folder));
  });
  return { type: 'list', repository: repository.root, vms, failures };
}
