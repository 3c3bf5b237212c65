/** Health of restore points, from the last checks of their containers. */
import type { DamageTrace } from './damageTrace.ts';
import type { RestorePoint } from '../restorePoint.ts';
import type { DamagedBlock, VerifiedContainer } from './verifyRecord.ts';

export interface PointHealth {
  /** The oldest check among the point's containers. ISO 8601, UTC. */
  readonly verifiedAt: string;
  /** The smallest share of stored blocks that these checks read, above 0 and at most 1. */
  readonly sampleRatio: number;
  readonly isDamaged: boolean;
}

/** Codes of findings that do not affect points which build on the container. */
const OWN_CODES: ReadonlySet<string> = new Set(['INTEGRITY_METADATA_MISMATCH']);

/** True when a finding of a container also affects the points that build on it. */
export function concernsDependents(code: string): boolean {
  return !OWN_CODES.has(code);
}

/** The point and all known points below it, newest first. */
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
 * Health of each point, by point id. A point is left out when no damage is known and one of its
 * containers was not checked.
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

/**
 * For each damaged block, by `file name/block id`: the points that need it, and the first point
 * that no longer needs it although its parent does.
 */
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

/** Adds to each damaged block the points that need it, from a trace of all points. */
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

/** Ids of damaged stored blocks by file name: the input of a trace. */
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
