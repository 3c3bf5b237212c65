/** Restores what is left of a damaged disk, and takes lost blocks from another restore point. */
import { BackupError, IntegrityError, UsageError } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import type { Sink } from '../../flow/connect.ts';
import type { DataBlock } from '../../flow/records.ts';
import type { HoleMap, HoleRange } from '../../repository/damage/holeMap.ts';
import { DonatedBlocks, SurvivingBlocks } from '../../repository/damage/salvageBlocks.ts';
import { isLostBytes, SalvageView } from '../../repository/damage/salvageView.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import { selectPoint } from '../shared/selectPoint.ts';
import { passBlocks, restoreBlocks, type RestoreBlocksOptions } from './restoreBlocks.ts';
import type { StoreFolder } from '../../store/store.ts';

/** What a restore does with damage. */
export interface Salvage {
  readonly view: SalvageView;
  /** Damaged blocks become holes. Otherwise a damaged block that nobody gives is an error. */
  readonly skipDamaged: boolean;
  /** The point that gives blocks. */
  readonly donor: SalvageView | undefined;
}

export interface SalvageResult {
  readonly blockSizeBytes: number;
  /** Damaged blocks, ascending. */
  readonly ranges: readonly HoleRange[];
  readonly takenBlocks: number;
}

/**
 * Opens the point that gives blocks.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`; `USAGE_INVALID_OPTION` for a point that cannot give
 *   blocks
 */
export async function openDonor(
  folder: StoreFolder,
  metadata: ChainMetadata,
  selector: string,
  wanted: RestorePoint,
): Promise<SalvageView> {
  const point = selectPoint(metadata, selector);
  const reason =
    point.pointId === wanted.pointId
      ? 'it is the point to restore'
      : point.blockSizeBytes === wanted.blockSizeBytes
        ? undefined
        : `its blocks have ${point.blockSizeBytes} B, not ${wanted.blockSizeBytes} B`;
  if (reason !== undefined) {
    throw new UsageError(
      'USAGE_INVALID_OPTION',
      `restore point ${point.number} (${point.pointId}) cannot give blocks: ${reason}`,
      { hint: 'name another point with --damaged-from; "ovirt-cbt list" shows them' },
    );
  }
  return await SalvageView.open(folder, metadata.points, point);
}

/**
 * As {@link restoreBlocks}, but takes damaged blocks from the donor, and leaves out those that are
 * still damaged then.
 *
 * @param openSink - makes a sink that writes to the disk. Called twice at most.
 * @throws {@link IntegrityError} without `skipDamaged`, when blocks are still damaged
 * @throws the loss of a file of the chain, when the fingerprint index cannot be read either
 */
export async function salvageBlocks(
  options: RestoreBlocksOptions,
  salvage: Salvage,
  openSink: () => Sink<DataBlock>,
): Promise<SalvageResult> {
  const { disk } = options;
  const supply = new SurvivingBlocks(await salvage.view.disk(disk));
  const fingerprints = await restoreBlocks({ ...options, supply }, openSink());
  if (supply.failure) throw supply.failure;
  const damaged = supply.holes;
  const holes = await fromDonor(options, salvage, damaged, fingerprints, openSink);
  const [first] = holes.ranges;
  if (first && !salvage.skipDamaged) throw stillDamaged(disk.alias, holes, first);
  const takenBlocks = damaged.blockCount - holes.blockCount;
  return { blockSizeBytes: supply.blockSizeBytes, ranges: holes.ranges, takenBlocks };
}

/** Blocks of `damaged` that the donor does not have either. */
async function fromDonor(
  options: RestoreBlocksOptions,
  { donor }: Salvage,
  damaged: HoleMap,
  fingerprints: FingerprintMap | undefined,
  openSink: () => Sink<DataBlock>,
): Promise<HoleMap> {
  const { disk, onMessage, resources } = options;
  const { alias, diskId: id } = disk;
  if (!donor || damaged.blockCount === 0) return damaged;
  if (!fingerprints) {
    onMessage(sessionMessage('REPO-523', { alias, id, rp: donor.point.pointId }));
    return damaged;
  }
  const same = donor.point.disks.find(({ diskId }) => diskId === id);
  if (!same) {
    const { number, pointId } = donor.point;
    onMessage(sessionMessage('REPO-525', { alias, id, rp: `${number} (${pointId})` }));
    return damaged;
  }
  const supply = new DonatedBlocks(disk, await donor.disk(same), damaged, resources.signal);
  await passBlocks(options, supply, fingerprints, openSink());
  return supply.holes;
}

function stillDamaged(alias: string, holes: HoleMap, first: HoleRange): IntegrityError {
  return new IntegrityError(
    first.code,
    `disk ${alias}: ${holes.blockCount} damaged blocks are left; the first: ${first.message}`,
    { hint: `name another point with --damaged-from, or ${SKIP_HINT}` },
  );
}

const SKIP_HINT = 'restore everything else with --skip-damaged';

/** Names `--skip-damaged` in the hint of an error that the option would avoid. */
export function withSkipHint(error: unknown): unknown {
  if (!isLostBytes(error) || error.hint.includes('--skip-damaged')) return error;
  return withHint(error, `${error.hint}; or ${SKIP_HINT}`);
}

/** The same error with another hint. */
export function withHint(error: BackupError, hint: string): BackupError {
  const { code, message, details, retryable } = error;
  const type = error.constructor as new (
    ...args: ConstructorParameters<typeof UsageError>
  ) => BackupError;
  return new type(code, message, { cause: error, hint, details, retryable });
}
