/**
 * Damaged places of the parent point. The next session reads them again from the live disk and
 * stores them in its increment, although nothing changed there. Older points stay damaged.
 */
import { IntegrityError, RepositoryError } from '../../../core/errors.ts';
import type { Extent } from '../../../flow/records.ts';
import type { ParentDisk } from '../../../flow/fingerprintMap.ts';
import { DamageTrace } from '../../../repository/damage/damageTrace.ts';
import { concernsDependents, damagedIds } from '../../../repository/damage/pointHealth.ts';
import type { RestorePointView } from '../../../repository/restorePointView.ts';
import {
  currentContainers,
  MAX_RECORDED_BLOCKS,
  readVerifyRecord,
  type VerifiedContainer,
} from '../../../repository/damage/verifyRecord.ts';
import type { StoreFolder } from '../../../store/store.ts';

type CheckedFiles = ReadonlyMap<string, VerifiedContainer>;

/** The last checks of containers that have not changed since. */
export async function readChecked(folder: StoreFolder): Promise<CheckedFiles> {
  return await currentContainers(folder, await readVerifyRecord(folder));
}

/**
 * Block indexes of a point, by disk id, whose stored bytes are recorded as damaged.
 *
 * @throws {@link IntegrityError} `INTEGRITY_DAMAGE_FOUND` when a container has damage outside
 *   stored blocks, or more damaged blocks than the record holds
 * @throws {@link RepositoryError} `REPOSITORY_IO` when the record holds no more blocks that could
 *   not be read; errors of reading the record and a container's maps
 */
export async function damagedPlaces(
  folder: StoreFolder,
  view: RestorePointView,
): Promise<ReadonlyMap<string, ReadonlySet<number>>> {
  const checked = await readChecked(folder);
  for (const { point } of view.members) checkHealable(checked.get(point.fileName));
  const trace = new DamageTrace(damagedIds(checked.values()));
  for (const opened of view.members) {
    if (trace.concerns(opened.point)) await trace.follow(opened);
  }
  const { disks } = trace.get(view.point.pointId);
  return new Map([...disks].map(([diskId, places]) => [diskId, new Set(places.keys())]));
}

/** A file that cannot be read is no damage of content: opening it shows that now. */
function isOfContent(code: string): boolean {
  return concernsDependents(code) && /^(FORMAT|INTEGRITY)_/.test(code);
}

function checkHealable(entry: VerifiedContainer | undefined): void {
  if (!entry) return;
  const { fileName, isTruncated, problems, damagedBlocks } = entry;
  const problem = problems.find(({ code }) => isOfContent(code));
  if (!isTruncated && !problem) return;
  if (!problem && !damagedBlocks.some(({ code }) => isOfContent(code))) throw unread(fileName);
  const found = problem
    ? `"${problem.message}" (${problem.code})`
    : `more than ${MAX_RECORDED_BLOCKS} damaged stored blocks`;
  throw new IntegrityError('INTEGRITY_DAMAGE_FOUND', `${fileName}: verify found ${found}`, {
    hint: 'restore the file from a copy and run "ovirt-cbt verify", or start a new chain with --mode full',
  });
}

/** The storage gave errors for very many blocks. Their bytes may be good. */
function unread(fileName: string): RepositoryError {
  return new RepositoryError(
    'REPOSITORY_IO',
    `${fileName}: verify could not read more than ${MAX_RECORDED_BLOCKS} stored blocks`,
    { hint: 'check the repository volume, and run "ovirt-cbt verify" again' },
  );
}

/**
 * Marks damaged blocks dirty in a change map, so that they are read. Extents that are dirty already
 * stay as they are, dirty zeros included. Extents without a dirty flag pass.
 */
export function withDamageDirty(
  extents: Iterable<Extent>,
  parent: ParentDisk,
  blockSizeBytes: number,
): Iterable<Extent> {
  const { damaged } = parent;
  if (!damaged) return extents;
  const starts = [...damaged].toSorted((a, b) => a - b).map((index) => index * blockSizeBytes);
  return { [Symbol.iterator]: () => cutExtents(extents, starts, blockSizeBytes) };
}

function* cutExtents(
  extents: Iterable<Extent>,
  starts: readonly number[],
  blockSizeBytes: number,
): Generator<Extent> {
  let next = 0;
  for (const extent of extents) {
    const endBytes = extent.offsetBytes + extent.lengthBytes;
    let at = extent.offsetBytes;
    while (extent.dirty === false && at < endBytes) {
      while ((starts[next] ?? Infinity) + blockSizeBytes <= at) next++;
      const from = Math.max(at, Math.min(starts[next] ?? Infinity, endBytes));
      const to = Math.min((starts[next] ?? Infinity) + blockSizeBytes, endBytes);
      if (from > at) yield { ...extent, offsetBytes: at, lengthBytes: from - at };
      if (from < endBytes) {
        yield { offsetBytes: from, lengthBytes: to - from, zero: false, dirty: true };
      }
      at = from < endBytes ? to : endBytes;
    }
    if (extent.dirty !== false) yield extent;
  }
}
