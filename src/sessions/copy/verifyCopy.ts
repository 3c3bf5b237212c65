/** Reads a new container again at the target, and checks all of it. */
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { IntegrityError } from '../../core/errors.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { StoreFolder } from '../../store/store.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';
import type { SessionProgress } from '../shared/progress.ts';
import { readAllFingerprints } from '../verify/parentFingerprints.ts';
import { verifyContainer } from '../verify/verifyContainer.ts';

interface VerifyContext {
  readonly codecs: BlockCodecs;
  readonly workers: number | undefined;
  readonly signal: AbortSignal;
  readonly progress: SessionProgress;
}

/** @throws {@link IntegrityError} `INTEGRITY_DAMAGE_FOUND` */
export async function verifyCopy(
  place: StoreFolder,
  point: RestorePoint,
  parentPoint: RestorePoint | undefined,
  vmId: string,
  { codecs, workers, signal, progress }: VerifyContext,
): Promise<void> {
  progress.phase('verifying');
  const { blockSizeBytes, fileName } = point;
  await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
  const found = await verifyContainer(place, point, {
    vmId,
    parentPoint,
    resources,
    codecs,
    sampleRatio: 1,
    random: () => 0,
    knownDamage: new Set(),
    parent: parentPoint && (await readAllFingerprints(place, parentPoint, codecs)),
    onProgress: (checked, total) => progress.containerChecked(fileName, checked, total),
  });
  if (found.findingCount === 0) return;
  const first = found.problems[0]?.message ?? found.damagedBlocks[0]?.message ?? '';
  throw new IntegrityError('INTEGRITY_DAMAGE_FOUND', `${place.pathOf(fileName)}: ${first}`, {
    hint: 'the copy was deleted again: check the storage of the target, and copy again',
  });
}
