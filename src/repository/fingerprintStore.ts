/** Fingerprint index of a disk in a container: item `fingerprints_<disk id>`, 8 bytes per block. */
import { FINGERPRINT_BYTES } from '../compute/kernels/slabFingerprints.ts';
import { IntegrityError } from '../core/errors.ts';
import { blockCountOf } from '../core/units.ts';
import type { ContainerReader } from '../container/read/containerReader.ts';
import type { ContainerItem } from '../container/format/items.ts';
import type { ContainerWriter, FolderHandle } from '../container/write/containerWriter.ts';
import type { BlockCodecs } from '../compute/blockCodecs.ts';
import { FingerprintMap } from '../flow/fingerprintMap.ts';
import { fingerprintItemName } from './restorePoint.ts';

/** Stores the index. Pieces of the index that hold only zeros are not stored. */
export async function writeFingerprints(
  writer: ContainerWriter,
  folder: FolderHandle,
  disk: { readonly diskId: string; readonly sizeBytes: number },
  fingerprints: FingerprintMap,
): Promise<void> {
  const perBlock = writer.blockSizeBytes / FINGERPRINT_BYTES;
  const name = fingerprintItemName(disk.diskId);
  const sizeBytes = blockCountOf(disk.sizeBytes, writer.blockSizeBytes) * FINGERPRINT_BYTES;
  const buffer = Buffer.alloc(Math.min(sizeBytes, writer.blockSizeBytes));
  await writer.addContent(folder, { name, sizeBytes, compress: true }, (index, lengthBytes) => {
    const piece = buffer.subarray(0, lengthBytes);
    return fingerprints.encodeInto(piece, index * perBlock) ? piece : undefined;
  });
}

/** The stored index of a disk. Its pieces are read when they are needed, and kept. */
export class FingerprintIndex {
  readonly #reader: ContainerReader;
  readonly #item: ContainerItem;
  readonly #codecs: BlockCodecs;
  readonly #fingerprints: FingerprintMap = new FingerprintMap();
  /** Pieces that are read or being read, by their block of the item. */
  readonly #pieces = new Map<number, Promise<void>>();

  /**
   * @param disk - its size is that at the point of the container.
   * @throws {@link IntegrityError} when the index is missing or has a wrong length
   */
  constructor(
    reader: ContainerReader,
    items: readonly ContainerItem[],
    disk: { readonly diskId: string; readonly sizeBytes: number },
    codecs: BlockCodecs,
  ) {
    const name = fingerprintItemName(disk.diskId);
    const item = items.find((other) => other.kind === 'file' && other.path.endsWith(`/${name}`));
    const expectedBytes = blockCountOf(disk.sizeBytes, reader.blockSizeBytes) * FINGERPRINT_BYTES;
    if (!item || item.record.sizeBytes !== expectedBytes) {
      throw new IntegrityError(
        'INTEGRITY_FINGERPRINT_MISMATCH',
        `${reader.name}: fingerprint index of disk ${disk.diskId} is missing or has a wrong length`,
      );
    }
    this.#reader = reader;
    this.#item = item;
    this.#codecs = codecs;
  }

  /**
   * Fingerprint of block `index` of the disk; 0n for a block of zeros.
   *
   * @throws {@link IntegrityError}, `FormatError` when the piece is damaged
   */
  async get(index: number): Promise<bigint> {
    const piece = Math.floor(index / this.#perPiece);
    const known = this.#pieces.get(piece) ?? this.#load(piece);
    this.#pieces.set(piece, known);
    try {
      await known;
    } catch (error) {
      this.#pieces.delete(piece);
      throw error;
    }
    return this.#fingerprints.get(index);
  }

  /**
   * Blocks `[from, to)` of one piece that are not zeros, ascending.
   *
   * @param to - at most {@link pieceEnd} of `from`.
   * @throws as {@link get}
   */
  async nonZeroIn(from: number, to: number): Promise<Iterable<number>> {
    await this.get(from);
    return this.#fingerprints.nonZeroIn(from, to);
  }

  /** The block after the piece that has block `index`. */
  pieceEnd(index: number): number {
    return (Math.floor(index / this.#perPiece) + 1) * this.#perPiece;
  }

  /** The whole index. */
  async all(): Promise<FingerprintMap> {
    for await (const reference of this.#reader.references(this.#item)) {
      await this.get(reference.index * this.#perPiece);
    }
    return this.#fingerprints;
  }

  get #perPiece(): number {
    return this.#reader.blockSizeBytes / FINGERPRINT_BYTES;
  }

  async #load(piece: number): Promise<void> {
    const reference = await this.#reader.fileBlock(this.#item, piece);
    // A piece of zeros is not stored.
    if (reference.blockId < 0) return;
    const plain = await this.#reader.readBlock(reference, this.#codecs);
    this.#fingerprints.decodeFrom(plain, piece * this.#perPiece);
  }
}
