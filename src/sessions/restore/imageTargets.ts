/** The image files of a restore: their names, which must be unused, and what goes into each. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { diskFileNames } from '../../repository/names.ts';
import { isLostBytes, SalvageView } from '../../repository/damage/salvageView.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';
import type { RestorePointView } from '../../repository/restorePointView.ts';
import { holesFileName, outputExists } from '../shared/imageFiles.ts';
import { type MeasuredDisk, measureDisk } from './restoreBlocks.ts';
import type { DiskJob, ImageFormat } from './restoreDisk.ts';

export type PointView = RestorePointView | SalvageView;

interface TargetOptions {
  readonly output: string;
  readonly format?: ImageFormat | undefined;
  readonly skipDamaged?: boolean | undefined;
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    () => false,
  );
}

/**
 * Names the image files. Aliases come from the repository, so a name must not lead out of the
 * folder.
 */
export async function planTargets(
  disks: readonly DiskPoint[],
  view: PointView,
  { output, format, skipDamaged }: TargetOptions,
): Promise<DiskJob[]> {
  const targets = diskFileNames(disks).map((stem) =>
    path.join(output, format === 'qcow2' ? `${stem}.qcow2` : stem),
  );
  const lists = skipDamaged ? targets.map((target) => holesFileName(target)) : [];
  for (const file of [...targets, ...lists]) if (await exists(file)) throw outputExists(file);
  const taken = lists.find((file) => targets.includes(file));
  if (taken !== undefined) {
    throw outputExists(taken, 'restore this disk alone, with --disk, to another folder');
  }
  const jobs: DiskJob[] = [];
  for (const [k, disk] of disks.entries()) {
    jobs.push({ disk, target: targets[k] ?? '', measured: await tryMeasure(view, disk) });
  }
  return jobs;
}

/**
 * The sum is for the progress only, so damage gives none here. The restore of that disk tells it.
 * The map of a chain that is salvaged may be incomplete.
 */
async function tryMeasure(view: PointView, disk: DiskPoint): Promise<MeasuredDisk | undefined> {
  if (view instanceof SalvageView) return undefined;
  try {
    return await measureDisk(view, disk);
  } catch (error) {
    if (isLostBytes(error)) return undefined;
    throw error;
  }
}
