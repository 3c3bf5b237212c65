/**
 * The report of verify: damaged stored blocks, the places that use them, and the points that need
 * them. All lists are bounded.
 */
import type { DamageTrace, PointDamage } from '../../repository/damage/damageTrace.ts';
import { concernsDependents } from '../../repository/damage/pointHealth.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type {
  DamagedBlock,
  Problem,
  VerifiedContainer,
} from '../../repository/damage/verifyRecord.ts';
import type { VmFindings } from './verifyVm.ts';

/** Most findings that are listed. All are counted. */
export const MAX_LISTED_DAMAGE = 1000;
/**
 * Most places that are listed per damaged stored block. Equal blocks are stored once, so one stored
 * block can have many places.
 */
const MAX_LISTED_USES = 8;

export interface VerifiedFile {
  readonly vmName: string;
  readonly fileName: string;
  readonly pointId: string;
  readonly pointNumber: number;
  /** ISO 8601, UTC. */
  readonly verifiedAt: string;
  /** True when an interrupted verify had checked the file, so this one did not read it again. */
  readonly isResumed: boolean;
  readonly checkedBlocks: number;
  readonly skippedBlocks: number;
  readonly storedBytesRead: number;
  readonly plainBytes: number;
  readonly damageCount: number;
}

/** A place that needs a damaged stored block: a block of a disk, or an item of a container. */
export interface DamagedUse {
  readonly diskId?: string | undefined;
  readonly alias?: string | undefined;
  /** Offset of the block on the disk. */
  readonly offsetBytes?: number | undefined;
  /** Name of an item that is not a disk, such as the VM's configuration. */
  readonly item?: string | undefined;
  readonly pointIds: readonly string[];
}

export interface FoundDamage {
  readonly vmName: string;
  readonly fileName: string;
  readonly pointId: string;
  readonly code: string;
  readonly message: string;
  /** Id of the damaged stored block, and its offset in the file. Absent for other findings. */
  readonly blockId?: number | undefined;
  readonly offsetBytes?: number | undefined;
  /** Restore points that need the stored block. For other findings: points that may be affected. */
  readonly affectedPointIds: readonly string[];
  /** Places that need the stored block; only the first ones. */
  readonly uses?: readonly DamagedUse[] | undefined;
  readonly useCount?: number | undefined;
  /** The first restore point that holds other data in all these places. */
  readonly healedFrom?: string | undefined;
  /** Its number. */
  readonly healedFromNumber?: number | undefined;
}

/** A restore point that was selected or that is damaged. */
export interface VerifiedPoint {
  readonly vmName: string;
  readonly pointId: string;
  readonly pointNumber: number;
  readonly isSelected: boolean;
  readonly isDamaged: boolean;
}

/** The report of one VM. */
export interface VmReport {
  readonly files: readonly VerifiedFile[];
  readonly points: readonly VerifiedPoint[];
  readonly damage: readonly FoundDamage[];
  readonly damageCount: number;
  readonly unlistedFiles: readonly { readonly vmName: string; readonly fileName: string }[];
  readonly recordFailure: string;
}

interface Uses {
  readonly places: Map<string, { readonly use: DamagedUse; readonly pointIds: string[] }>;
  count: number;
}

/** Ids of the point and of all points that build on it. */
function dependents(points: readonly RestorePoint[], pointId: string): string[] {
  const ids = new Set([pointId]);
  for (const point of points) if (ids.has(point.parentPointId)) ids.add(point.pointId);
  return [...ids];
}

/** Adds the damaged places of one point to `uses`. Its keys are `file name/block id`. */
function addUses(uses: Map<string, Uses>, point: RestorePoint, found: PointDamage): void {
  const add = (key: string, place: string, use: Omit<DamagedUse, 'pointIds'>): void => {
    const known = uses.get(key);
    if (!known) return;
    const listed = known.places.get(place);
    if (listed) listed.pointIds.push(point.pointId);
    else if (known.count++ < MAX_LISTED_USES) {
      const pointIds = [point.pointId];
      known.places.set(place, { use: { ...use, pointIds }, pointIds });
    }
  };
  for (const [diskId, places] of found.disks) {
    const alias = point.disks.find((disk) => disk.diskId === diskId)?.alias ?? '';
    for (const [index, { fileName, blockId }] of places) {
      const offsetBytes = index * point.blockSizeBytes;
      add(`${fileName}/${blockId}`, `${diskId}/${index}`, { diskId, alias, offsetBytes });
    }
  }
  for (const { name, ref } of found.items) {
    add(`${ref.fileName}/${ref.blockId}`, name, { item: name });
  }
}

function findUses(
  containers: readonly VerifiedContainer[],
  points: readonly RestorePoint[],
  trace: DamageTrace,
): ReadonlyMap<string, Uses> {
  const uses = new Map<string, Uses>();
  for (const { fileName, damagedBlocks } of containers) {
    for (const { blockId } of damagedBlocks.slice(0, MAX_LISTED_DAMAGE)) {
      uses.set(`${fileName}/${blockId}`, { places: new Map(), count: 0 });
    }
  }
  if (uses.size > 0) for (const point of points) addUses(uses, point, trace.get(point.pointId));
  return uses;
}

function listProblem(
  vmName: string,
  { fileName, pointId }: VerifiedContainer,
  { code, message }: Problem,
  points: readonly RestorePoint[],
): FoundDamage {
  const affectedPointIds = concernsDependents(code) ? dependents(points, pointId) : [pointId];
  return { vmName, fileName, pointId, code, message, affectedPointIds };
}

function listBlock(
  vmName: string,
  { fileName, pointId }: VerifiedContainer,
  block: DamagedBlock,
  uses: Uses | undefined,
  points: readonly RestorePoint[],
): FoundDamage {
  const { neededBy: affectedPointIds = [], ...facts } = block;
  const places = [...(uses?.places.values() ?? [])].map(({ use }) => use);
  const useCount = uses?.count ?? 0;
  const healed = points.find((point) => point.pointId === facts.healedFrom);
  return {
    vmName,
    fileName,
    pointId,
    ...facts,
    ...(healed ? { healedFromNumber: healed.number } : {}),
    affectedPointIds,
    uses: places,
    useCount,
  };
}

function listDamage({ metadata, containers, trace }: VmFindings): FoundDamage[] {
  const { vm, points } = metadata;
  const uses = findUses(containers, points, trace);
  return containers
    .flatMap((entry) => [
      ...entry.problems.map((problem) => listProblem(vm.name, entry, problem, points)),
      ...entry.damagedBlocks
        .slice(0, MAX_LISTED_DAMAGE)
        .map((block) =>
          listBlock(vm.name, entry, block, uses.get(`${entry.fileName}/${block.blockId}`), points),
        ),
    ])
    .slice(0, MAX_LISTED_DAMAGE);
}

export function reportVm(findings: VmFindings): VmReport {
  const { metadata, containers, health, selectedIds, resumedFiles } = findings;
  const { vm, points } = metadata;
  const numbers = new Map(points.map((point) => [point.pointId, point.number]));
  const files = containers.map(({ fileName, pointId, ...entry }) => ({
    vmName: vm.name,
    fileName,
    pointId,
    pointNumber: numbers.get(pointId) ?? 0,
    verifiedAt: entry.verifiedAt,
    isResumed: resumedFiles.has(fileName),
    checkedBlocks: entry.checkedBlocks,
    skippedBlocks: entry.skippedBlocks,
    storedBytesRead: entry.storedBytesRead,
    plainBytes: entry.plainBytes,
    damageCount: entry.findingCount,
  }));
  const verified = points.map(({ pointId, number: pointNumber }) => ({
    vmName: vm.name,
    pointId,
    pointNumber,
    isSelected: selectedIds.has(pointId),
    isDamaged: health.get(pointId)?.isDamaged ?? false,
  }));
  return {
    files,
    points: verified.filter((point) => point.isSelected || point.isDamaged),
    damage: listDamage(findings),
    damageCount: containers.reduce((sum, entry) => sum + entry.findingCount, 0),
    unlistedFiles: findings.unlistedFiles.map((fileName) => ({ vmName: vm.name, fileName })),
    recordFailure: findings.recordFailure,
  };
}
