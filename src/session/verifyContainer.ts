/** Checks one container of a chain: structure, every stored block, the fingerprint index, the link to its parent. */
import { Readable } from 'node:stream';
import {
  createBlockFetcher,
  createBlockUnpacker,
  type StoredBlock,
} from '../container/restoreStages.ts';
import { ZERO_BLOCK_ID } from '../container/records.ts';
import { checkStructure } from '../container/structureCheck.ts';
import { BackupError } from '../core/errors.ts';
import { createStageStats } from '../core/stats.ts';
import { blockCountOf } from '../core/units.ts';
import type { BlockVerbs } from '../pipeline/blockVerbs.ts';
import { FingerprintMap } from '../pipeline/fingerprintMap.ts';
import { nullSink } from '../pipeline/plainSinks.ts';
import { connect } from '../pipeline/stage.ts';
import { PointReader } from '../repository/pointReader.ts';
import type { DiskPoint, RestorePoint } from '../repository/restorePoint.ts';
import type { RunResources } from './resources.ts';

export interface Damage {
  readonly fileName: string;
  readonly pointId: string;
  readonly code: string;
  readonly message: string;
  /** Stored block, where one is damaged. */
  readonly blockId?: number | undefined;
  readonly offsetBytes?: number | undefined;
}

export interface ContainerCheck {
  readonly point: RestorePoint;
  readonly checkedBlocks: number;
  readonly skippedBlocks: number;
  readonly storedBytesRead: number;
  readonly plainBytes: number;
  readonly damage: readonly Damage[];
}

export interface CheckContext {
  readonly folder: string;
  readonly resources: RunResources;
  readonly verbs: BlockVerbs;
  /** Part of the stored blocks to read, 0 to 1; metadata is always checked whole. */
  readonly sampleRatio: number;
  /** Random numbers 0 to 1 that choose the sample. */
  readonly random: () => number;
  /** Fingerprints of the parent point; undefined for a full or when it could not be read. */
  readonly parent: FingerprintsById | undefined;
  readonly onProgress?: ((checkedBlocks: number, totalBlocks: number) => void) | undefined;
}

export type FingerprintsById = ReadonlyMap<string, FingerprintMap>;

class ContainerVerifier {
  readonly damage: Damage[] = [];
  readonly fetch = createStageStats();
  readonly unpack = createStageStats();
  skippedBlocks = 0;
  readonly #opened: PointReader;
  readonly #context: CheckContext;
  /** By block id: fingerprint that the disks expect, 0n where none does. */
  readonly #expected: BigUint64Array;

  constructor(opened: PointReader, context: CheckContext) {
    this.#opened = opened;
    this.#context = context;
    this.#expected = new BigUint64Array(opened.reader.store.count);
  }

  async run(): Promise<FingerprintsById> {
    const { reader, items, point } = this.#opened;
    const { snapshot } = reader;
    for (const line of snapshot.damage) this.#report('INTEGRITY_CRC_MISMATCH', line);
    if (snapshot.fileBytes !== reader.endBytes) {
      this.#report('FORMAT_TRUNCATED', `file has ${snapshot.fileBytes} of ${reader.endBytes} B`);
    }
    for (const line of await checkStructure(reader, items)) this.#report('FORMAT_STRUCTURE', line);
    const fingerprints = new Map<string, FingerprintMap>();
    for (const disk of point.disks) {
      await this.#guard(async () => fingerprints.set(disk.diskId, await this.#disk(disk)));
    }
    await this.#blocks();
    return fingerprints;
  }

  #report(code: string, message: string, details: BackupError['details'] = {}): void {
    const { fileName, pointId } = this.#opened.point;
    const { blockId, offsetBytes } = details;
    this.damage.push({
      fileName,
      pointId,
      code,
      message,
      ...(typeof blockId === 'number' && { blockId }),
      ...(typeof offsetBytes === 'number' && { offsetBytes }),
    });
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof BackupError) || error.code === 'CANCELLED') throw error;
      this.#report(error.code, error.message, error.details);
    }
  }

  /** Ties the fingerprint index of a disk to its blocks here, and to the parent for blocks not here. */
  async #disk(disk: DiskPoint): Promise<FingerprintMap> {
    const { reader } = this.#opened;
    const fingerprints = await this.#opened.fingerprints(disk, this.#context.verbs);
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
    return fingerprints;
  }

  #inherited(disk: DiskPoint): FingerprintMap {
    const { parent } = this.#context;
    const known = disk.content === 'increment' && parent?.get(disk.diskId);
    return known || new FingerprintMap();
  }

  #compareWithParent(disk: DiskPoint, own: FingerprintMap, inherited: FingerprintMap): void {
    // What is wrong with the parent is reported there; here nothing can be compared with it.
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
    const onDamage = (_block: StoredBlock, error: BackupError): void =>
      this.#report(error.code, error.message, error.details);
    const { fingerprint } = this.#context.verbs;
    await this.#context.resources.withLease((lease) =>
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

  async *#storedBlocks(): AsyncGenerator<StoredBlock> {
    const { reader } = this.#opened;
    const { sampleRatio, random, onProgress } = this.#context;
    const total = reader.store.count;
    for (let blockId = 0; blockId < total; blockId++) {
      onProgress?.(blockId + 1, total);
      if (sampleRatio < 1 && random() >= sampleRatio) {
        this.skippedBlocks++;
        continue;
      }
      let block: StoredBlock | undefined;
      await this.#guard(async () => {
        block = await this.#storedBlock(blockId);
      });
      if (block) yield block;
    }
  }

  async #storedBlock(blockId: number): Promise<StoredBlock | undefined> {
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

/** Indexes below `end` where two maps differ. */
function* differences(a: FingerprintMap, b: FingerprintMap, end: number): Generator<number> {
  for (const index of a.nonZeroIn(0, end)) if (a.get(index) !== b.get(index)) yield index;
  for (const index of b.nonZeroIn(0, end)) if (a.get(index) === 0n) yield index;
}

/**
 * Checks the container of a point.
 *
 * @returns what was found, and the fingerprints for the check of the next increment.
 */
export async function verifyContainer(
  point: RestorePoint,
  context: CheckContext,
): Promise<{ readonly check: ContainerCheck; readonly fingerprints: FingerprintsById }> {
  let opened: PointReader;
  try {
    opened = await PointReader.open(context.folder, point);
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const { fileName, pointId } = point;
    const damage = [{ fileName, pointId, code: error.code, message: error.message }];
    const none = { checkedBlocks: 0, skippedBlocks: 0, storedBytesRead: 0, plainBytes: 0 };
    return { check: { point, ...none, damage }, fingerprints: new Map() };
  }
  try {
    const verifier = new ContainerVerifier(opened, context);
    const fingerprints = await verifier.run();
    const check = {
      point,
      checkedBlocks: verifier.unpack.blocks,
      skippedBlocks: verifier.skippedBlocks,
      storedBytesRead: verifier.fetch.bytes,
      plainBytes: verifier.unpack.bytes,
      damage: verifier.damage,
    };
    return { check, fingerprints };
  } finally {
    await opened.close();
  }
}
