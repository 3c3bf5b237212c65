/**
 * Checks one container of a chain: structure, stored blocks, fingerprint index, link to its parent.
 */
import { Readable } from 'node:stream';
import {
  createBlockFetcher,
  createBlockUnpacker,
  type BlockToFetch,
} from '../../container/read/restoreStages.ts';
import { ZERO_BLOCK_ID } from '../../container/format/records.ts';
import { checkStructure } from '../../container/read/structureCheck.ts';
import { BackupError, UsageError } from '../../core/errors.ts';
import { createStageStats } from '../../core/stats.ts';
import { isAccessFailure } from '../../core/systemErrors.ts';
import { blockCountOf } from '../../core/units.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { nullSink } from '../../flow/sinks/plainSinks.ts';
import { connect } from '../../flow/connect.ts';
import { PointReader } from '../../repository/pointReader.ts';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';
import {
  type DamagedBlock,
  type FileIdentity,
  MAX_RECORDED_BLOCKS,
  MAX_RECORDED_PROBLEMS,
  type Problem,
  type VerifiedContainer,
} from '../../repository/damage/verifyRecord.ts';
import type { FingerprintsById } from './parentFingerprints.ts';
import { metadataDifferences } from './containerFacts.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import type { StoreFolder } from '../../store/store.ts';

/** Findings of one container. Lists are bounded; counts include everything. */
export type ContainerCheck = Omit<
  VerifiedContainer,
  keyof FileIdentity | 'fileName' | 'pointId' | 'verifiedAt' | 'sampleRatio'
>;

/** Context of {@link verifyOpened}. */
export interface CheckContext {
  readonly vmId: string;
  /** The parent point as the chain metadata lists it; undefined for a full. */
  readonly parentPoint: RestorePoint | undefined;
  readonly resources: PipelineResources;
  readonly codecs: BlockCodecs;
  /**
   * Share of the stored blocks to read, above 0 and at most 1. At least one block is read. Metadata
   * is always checked completely.
   */
  readonly sampleRatio: number;
  /** Returns random numbers from 0 to below 1. They choose the sample. */
  readonly random: () => number;
  /** Ids of stored blocks that were damaged before. Every sample includes them. */
  readonly knownDamage: ReadonlySet<number>;
  /** Fingerprints of the parent point, by disk id. Undefined for a full. */
  readonly parent: FingerprintsById | undefined;
  readonly onProgress?: ((checkedBlocks: number, totalBlocks: number) => void) | undefined;
}

/** The record of verify takes texts of up to 4000 characters. */
const MAX_MESSAGE_CHARS = 2000;

/**
 * A container that cannot be reached is not checked: nobody saw its bytes. Nor did anybody see
 * those of a block that nothing here can expand.
 */
function isFinding(error: unknown): error is BackupError {
  if (!(error instanceof BackupError) || error instanceof UsageError) return false;
  return error.code !== 'CANCELLED' && !isAccessFailure(error);
}

function withFile(fileName: string, text: string): string {
  const whole = text.includes(fileName) ? text : `${fileName}: ${text}`;
  return whole.slice(0, MAX_MESSAGE_CHARS);
}

class ContainerVerifier {
  readonly problems: Problem[] = [];
  readonly damagedBlocks = new Map<number, DamagedBlock>();
  findingCount = 0;
  isTruncated = false;
  readonly fetch = createStageStats();
  readonly unpack = createStageStats();
  skippedBlocks = 0;
  readonly #opened: PointReader;
  readonly #context: CheckContext;
  /** By block id: the fingerprint that the disks expect; 0n when no disk uses the block. */
  readonly #expected: BigUint64Array;

  constructor(opened: PointReader, context: CheckContext) {
    this.#opened = opened;
    this.#context = context;
    this.#expected = new BigUint64Array(opened.reader.store.count);
  }

  async check(): Promise<void> {
    const { reader, items } = this.#opened;
    const { snapshot } = reader;
    // A place that could not be read says nothing about its bytes.
    const code = snapshot.readFailure?.code ?? 'INTEGRITY_CRC_MISMATCH';
    for (const line of snapshot.damage) this.#report(code, line);
    if (snapshot.fileBytes !== reader.endBytes) {
      this.#report('FORMAT_TRUNCATED', `file has ${snapshot.fileBytes} of ${reader.endBytes} B`);
    }
    await this.#guard(async () => {
      const lines = await checkStructure(reader, items, !this.#opened.hasFingerprints);
      for (const line of lines) this.#report('FORMAT_STRUCTURE', line);
    });
    if (this.#opened.hasFingerprints) await this.#facts();
    await this.#blocks();
  }

  /** What only our own containers tell: facts of the point, and fingerprints. */
  async #facts(): Promise<void> {
    const { point } = this.#opened;
    const { vmId, parentPoint, codecs } = this.#context;
    await this.#guard(async () => {
      const lines = await metadataDifferences(this.#opened, vmId, parentPoint, codecs);
      for (const line of lines) this.#report('INTEGRITY_METADATA_MISMATCH', line);
    });
    for (const disk of point.disks) await this.#guard(() => this.#disk(disk));
  }

  /**
   * A stored block counts as one finding, even when several checks find its damage. Each finding
   * names its file.
   */
  #report(code: string, text: string, details: BackupError['details'] = {}): void {
    const { blockId, offsetBytes } = details;
    const message = withFile(this.#opened.point.fileName, text);
    if (typeof blockId !== 'number') {
      this.findingCount++;
      if (this.problems.length < MAX_RECORDED_PROBLEMS) this.problems.push({ code, message });
      return;
    }
    if (this.damagedBlocks.has(blockId)) return;
    this.findingCount++;
    this.isTruncated ||= this.damagedBlocks.size >= MAX_RECORDED_BLOCKS;
    if (this.isTruncated) return;
    const known = typeof offsetBytes === 'number' ? { offsetBytes } : {};
    this.damagedBlocks.set(blockId, { blockId, ...known, code, message });
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isFinding(error) || this.#isRefused(error)) throw error;
      this.#report(error.code, error.message, error.details);
    }
  }

  /** Data of others that nobody here can read are no damage. Ours are always readable. */
  #isRefused({ code }: BackupError): boolean {
    return code === 'FORMAT_UNSUPPORTED' && !this.#opened.hasFingerprints;
  }

  /**
   * Compares the fingerprint index of a disk with its block map, and with the parent for other
   * blocks.
   */
  async #disk(disk: DiskPoint): Promise<void> {
    const { reader } = this.#opened;
    const fingerprints = await this.#opened.fingerprints(disk, this.#context.codecs);
    const inherited = this.#inherited(disk).clone();
    for await (const { index, blockId } of reader.references(this.#opened.diskItem(disk))) {
      const fingerprint = fingerprints.get(index);
      inherited.set(index, fingerprint);
      const isZero = blockId === ZERO_BLOCK_ID;
      const known = isZero ? 0n : (this.#expected[blockId] ?? 0n);
      const agrees = isZero ? fingerprint === 0n : fingerprint !== 0n;
      if (!agrees || (known !== 0n && known !== fingerprint)) {
        this.#report(
          'INTEGRITY_FINGERPRINT_MISMATCH',
          `disk ${disk.alias} block ${index}: map and fingerprint index disagree`,
        );
      }
      if (!isZero) this.#expected[blockId] = fingerprint;
    }
    this.#compareWithParent(disk, fingerprints, inherited);
  }

  #inherited(disk: DiskPoint): FingerprintMap {
    const { parent } = this.#context;
    const known = disk.content === 'increment' && parent?.get(disk.diskId);
    return known || new FingerprintMap();
  }

  #compareWithParent(disk: DiskPoint, own: FingerprintMap, inherited: FingerprintMap): void {
    // The parent's index cannot be read, so there is nothing to compare. The check of the parent
    // reports it.
    if (disk.content === 'increment' && !this.#context.parent?.has(disk.diskId)) return;
    const end = blockCountOf(disk.sizeBytes, this.#opened.reader.blockSizeBytes);
    for (const index of differences(own, inherited, end)) {
      this.#report(
        'INTEGRITY_FINGERPRINT_MISMATCH',
        `disk ${disk.alias} block ${index}: is neither in this file nor as in the parent point`,
      );
      return;
    }
  }

  async #blocks(): Promise<void> {
    const { signal, pool } = this.#context.resources;
    // A read error does not carry the block id. Such a block counts as damaged too.
    const onDamage = ({ extent }: BlockToFetch, error: BackupError): void => {
      if (isAccessFailure(error)) throw error;
      const { blockId, offsetBytes } = extent;
      this.#report(error.code, error.message, { blockId, offsetBytes });
    };
    const { fingerprint } = this.#context.codecs;
    await this.#context.resources.withLease('unpack', (lease) =>
      connect(
        Readable.from(this.#storedBlocks(), { objectMode: true, highWaterMark: 1 }),
        [
          createBlockFetcher({ lease, stats: this.fetch, onDamage }),
          createBlockUnpacker({ lease, stats: this.unpack, pool, fingerprint, onDamage }),
        ],
        nullSink(),
        { signal },
      ),
    );
  }

  async *#storedBlocks(): AsyncGenerator<BlockToFetch> {
    const { reader } = this.#opened;
    const { sampleRatio, random, knownDamage, onProgress } = this.#context;
    const total = reader.store.count;
    const certain = sampleRatio < 1 ? await this.#certainBlock() : undefined;
    for (let blockId = 0; blockId < total; blockId++) {
      onProgress?.(blockId + 1, total);
      const isWanted = blockId === certain || knownDamage.has(blockId);
      if (sampleRatio < 1 && !isWanted && random() >= sampleRatio) {
        this.skippedBlocks++;
        continue;
      }
      let block: BlockToFetch | undefined;
      await this.#guard(async () => {
        block = await this.#storedBlock(blockId);
      });
      if (block) yield block;
    }
  }

  /**
   * A random stored block that is in use, or that cannot be read. Every sample reads it, because a
   * sample of no block would call any container good. Undefined when no block is in use.
   */
  async #certainBlock(): Promise<number | undefined> {
    const { store } = this.#opened.reader;
    const first = Math.floor(this.#context.random() * store.count);
    for (let step = 0; step < store.count; step++) {
      const blockId = (first + step) % store.count;
      const block = await this.#opened.reader.storeBlock(blockId).catch(() => {});
      if (block?.usageCount !== 0) return blockId;
    }
    return undefined;
  }

  async #storedBlock(blockId: number): Promise<BlockToFetch | undefined> {
    const { reader } = this.#opened;
    if ((await reader.storeBlock(blockId)).usageCount === 0) return undefined;
    const extent = await reader.storedExtent(blockId);
    const expected = this.#expected[blockId] ?? 0n;
    return {
      kind: 'stored',
      diskId: '',
      index: 0,
      offsetBytes: 0,
      lengthBytes: extent.sourceBytes,
      validBytes: extent.sourceBytes,
      reader,
      extent,
      fingerprint: expected === 0n ? undefined : expected,
    };
  }
}

/** Block indexes below `end` where two maps differ. */
function* differences(a: FingerprintMap, b: FingerprintMap, end: number): Generator<number> {
  for (const index of a.nonZeroIn(0, end)) if (a.get(index) !== b.get(index)) yield index;
  for (const index of b.nonZeroIn(0, end)) if (a.get(index) === 0n) yield index;
}

/** The result for a container that cannot be opened. */
export function unreadable(fileName: string, { code, message: text }: BackupError): ContainerCheck {
  const message = withFile(fileName, text);
  return {
    checkedBlocks: 0,
    skippedBlocks: 0,
    storedBytesRead: 0,
    plainBytes: 0,
    findingCount: 1,
    problems: [{ code, message }],
    damagedBlocks: [],
    isTruncated: false,
  };
}

/**
 * Checks the container of a point. Damage is returned, not thrown. A place that the device cannot
 * read (EIO) counts as damage.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO` when the container cannot be reached
 * @throws {@link CancelledError} and errors that are not {@link BackupError}
 */
export async function verifyContainer(
  folder: StoreFolder,
  point: RestorePoint,
  context: CheckContext,
): Promise<ContainerCheck> {
  let opened: PointReader;
  try {
    opened = await PointReader.open(folder, point);
  } catch (error) {
    if (!isFinding(error)) throw error;
    return unreadable(point.fileName, error);
  }
  try {
    return await verifyOpened(opened, context);
  } finally {
    await opened.close();
  }
}

/** As {@link verifyContainer}, for a container that is open and stays so. */
export async function verifyOpened(
  opened: PointReader,
  context: CheckContext,
): Promise<ContainerCheck> {
  const verifier = new ContainerVerifier(opened, context);
  await verifier.check();
  return {
    checkedBlocks: verifier.unpack.blocks,
    skippedBlocks: verifier.skippedBlocks,
    storedBytesRead: verifier.fetch.bytes,
    plainBytes: verifier.unpack.bytes,
    findingCount: verifier.findingCount,
    problems: verifier.problems,
    damagedBlocks: [...verifier.damagedBlocks.values()].toSorted((a, b) => a.blockId - b.blockId),
    isTruncated: verifier.isTruncated,
  };
}
