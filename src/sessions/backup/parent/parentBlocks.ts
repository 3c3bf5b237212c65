/** Checked blocks of the parent point, for sessions that read parts of blocks from the engine. */
import { BackupError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import type { BlockCodecs } from '../../../compute/blockCodecs.ts';
import { FingerprintMap } from '../../../flow/fingerprintMap.ts';
import type { ChainMetadata } from '../../../repository/pointXml.ts';
import type { DiskPoint } from '../../../repository/restorePoint.ts';
import { type DiskView, RestorePointView } from '../../../repository/restorePointView.ts';
import type { CheckedParent } from './parentPoint.ts';
import type { StoreFolder } from '../../../store/store.ts';

interface Tools {
  readonly codecs: BlockCodecs;
  readonly log: Logger;
}

/** The open files of a parent point. */
export class ParentChain {
  readonly #parent: CheckedParent;
  readonly #view: RestorePointView;
  readonly #tools: Tools;

  private constructor(parent: CheckedParent, view: RestorePointView, tools: Tools) {
    this.#parent = parent;
    this.#view = view;
    this.#tools = tools;
  }

  static async open(
    folder: StoreFolder,
    metadata: ChainMetadata,
    parent: CheckedParent,
    tools: Tools,
  ): Promise<ParentChain> {
    const view = await RestorePointView.open(folder, metadata.points, parent.point);
    return new ParentChain(parent, view, tools);
  }

  async disk(disk: DiskPoint): Promise<ParentBlocks> {
    const known = this.#parent.disks.get(disk.diskId)?.fingerprints ?? new FingerprintMap();
    return new ParentBlocks(await this.#view.disk(disk), known, this.#tools);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#view.close();
  }
}

/** One disk at the parent point. */
export class ParentBlocks {
  readonly #view: DiskView;
  readonly #fingerprints: FingerprintMap;
  readonly #tools: Tools;

  constructor(view: DiskView, fingerprints: FingerprintMap, tools: Tools) {
    this.#view = view;
    this.#fingerprints = fingerprints;
    this.#tools = tools;
  }

  /**
   * Fills `target` with the block at `offsetBytes`.
   *
   * @param target - one whole container block; the last block of a disk may be short
   * @returns false when the block is damaged or cannot be read. That is logged, and `target` holds
   *   nothing useful.
   */
  async readInto(target: Uint8Array, offsetBytes: number): Promise<boolean> {
    try {
      return await this.#read(target, offsetBytes / this.#view.blockSizeBytes);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      const { alias, diskId } = this.#view.disk;
      this.#tools.log.warn(
        { diskId, alias, offsetBytes, code: error.code },
        'a block of the parent point is damaged or cannot be read, the whole block is read',
      );
      return false;
    }
  }

  async #read(target: Uint8Array, index: number): Promise<boolean> {
    const { codecs } = this.#tools;
    const expected = this.#fingerprints.get(index);
    const block = await this.#view.blockAt(index);
    if (!block) {
      target.fill(0);
      return expected === 0n;
    }
    const plain = await block.reader.readStoredBlock(block.blockId, codecs);
    target.set(plain.subarray(0, block.validBytes));
    target.fill(0, block.validBytes);
    const bytes = Buffer.from(target.buffer, target.byteOffset, target.length);
    return codecs.fingerprint(bytes) === expected;
  }
}
