/** What the last checks of its containers say of a restore point, and the update of what they say. */
import type { DamageTrace } from './damageTrace.ts';
import type { RestorePoint } from '../restorePoint.ts';
import type { DamagedBlock, VerifiedContainer } from './verifyRecord.ts';

export interface PointHealth {
  /** The oldest check among the point's containers, ISO 8601, UTC. */
  readonly verifiedAt: string;
  /** The smallest part of the stored blocks that was read. */
  readonly sampleRatio: number;
  readonly isDamaged: boolean;
}

/** Findings that do not concern the points that build on a container. */
const OWN_CODES: ReadonlySet<string> = new Set(['INTEGRITY_METADATA_MISMATCH']);

/** Whether a finding of a container concerns the points that build on it, too. */
export function concernsDependents(code: string): boolean {
  return !OWN_CODES.has(code);
}

/** The point and those that it builds on, as far as they are known; newest first. */
function lineage(points: ReadonlyMap<string, RestorePoint>, point: RestorePoint): RestorePoint[] {
  const found: RestorePoint[] = [];
  for (let at: RestorePoint | undefined = point; at && !found.includes(at); ) {
    found.push(at);
    at = at.type === 'full' ? undefined : points.get(at.parentPointId);
  }
  return found;
}

function harms(entry: VerifiedContainer, point: RestorePoint): boolean {
  if (entry.isTruncated) return true;
  const isOwn = entry.pointId === point.pointId;
  if (entry.problems.some(({ code }) => isOwn || concernsDependents(code))) return true;
  return entry.damagedBlocks.some(({ neededBy }) => neededBy?.includes(point.pointId) ?? true);
}

/**
 * Health of each point by its id. A point is left out while a container that it needs has not been checked and no
 * damage is known.
 */
export function healthOfPoints(
  points: readonly RestorePoint[],
  checked: ReadonlyMap<string, VerifiedContainer>,
): Map<string, PointHealth> {
  const byId = new Map(points.map((point) => [point.pointId, point]));
  const health = new Map<string, PointHealth>();
  for (const point of points) {
    const chain = lineage(byId, point);
    const entries = chain.flatMap(({ fileName }) => checked.get(fileName) ?? []);
    const isDamaged = entries.some((entry) => harms(entry, point));
    const isWhole = entries.length === chain.length && chain.at(-1)?.type === 'full';
    if (!isDamaged && !isWhole) continue;
    const times = entries.map((entry) => entry.verifiedAt).toSorted();
    const sampleRatio = Math.min(...entries.map((entry) => entry.sampleRatio));
    health.set(point.pointId, { verifiedAt: times[0] ?? '', sampleRatio, isDamaged });
  }
  return health;
}

/** Who needs each damaged block, and from where on nobody does, by `file name/block id`. */
function needsOf(
  points: readonly RestorePoint[],
  trace: DamageTrace,
): Map<string, { readonly neededBy: string[]; healedFrom?: string | undefined }> {
  const needs = new Map<string, { readonly neededBy: string[]; healedFrom?: string | undefined }>();
  const keysAt = new Map<string, ReadonlySet<string>>();
  for (const { pointId, parentPointId } of points) {
    const { disks, items } = trace.get(pointId);
    const refs = [...disks.values()].flatMap((places) => [...new Set(places.values())]);
    const all = [...refs, ...items.map(({ ref }) => ref)];
    const keys = new Set(all.map(({ fileName, blockId }) => `${fileName}/${blockId}`));
    keysAt.set(pointId, keys);
    for (const key of keys) {
      const known = needs.get(key) ?? { neededBy: [] };
      known.neededBy.push(pointId);
      needs.set(key, known);
    }
    for (const key of keysAt.get(parentPointId) ?? []) {
      const known = needs.get(key);
      if (known && !keys.has(key)) known.healedFrom = pointId;
    }
  }
  return needs;
}

/** The entries with what a trace of all points says of their damaged blocks. */
export function withDependents(
  entries: readonly VerifiedContainer[],
  points: readonly RestorePoint[],
  trace: DamageTrace,
): VerifiedContainer[] {
  if (entries.every((entry) => entry.damagedBlocks.length === 0)) return [...entries];
  const needs = needsOf(points, trace);
  return entries.map((entry) => ({
    ...entry,
    damagedBlocks: entry.damagedBlocks.map((block): DamagedBlock => {
      const { blockId, offsetBytes, code, message } = block;
      const need = needs.get(`${entry.fileName}/${blockId}`);
      const healedFrom = need?.healedFrom;
      const found = { blockId, offsetBytes, code, message, neededBy: need?.neededBy ?? [] };
      return healedFrom === undefined ? found : { ...found, healedFrom };
    }),
  }));
}

/** Damaged stored blocks by file, for a trace. */
export function damagedIds(entries: Iterable<VerifiedContainer>): Map<string, number[]> {
  const ids = new Map<string, number[]>();
  for (const { fileName, damagedBlocks } of entries) {
    if (damagedBlocks.length > 0) {
      ids.set(
        fileName,
        damagedBlocks.map(({ blockId }) => blockId),
      );
    }
  }
  return ids;
}
