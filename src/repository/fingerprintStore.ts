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

/**
 * Loads the index of a disk of `sizeBytes`.
 *
 * @throws {@link IntegrityError} when it is missing, of the wrong length, or damaged
 */
export async function readFingerprints(
  reader: ContainerReader,
  items: readonly ContainerItem[],
  disk: { readonly diskId: string; readonly sizeBytes: number },
  codecs: BlockCodecs,
): Promise<FingerprintMap> {
  const name = fingerprintItemName(disk.diskId);
  const item = items.find((other) => other.kind === 'file' && other.path.endsWith(`/${name}`));
  const expectedBytes = blockCountOf(disk.sizeBytes, reader.blockSizeBytes) * FINGERPRINT_BYTES;
  if (!item || item.record.sizeBytes !== expectedBytes) {
    throw new IntegrityError(
      'INTEGRITY_FINGERPRINT_MISMATCH',
      `${reader.name}: fingerprint index of disk ${disk.diskId} is missing or has a wrong length`,
    );
  }
  const fingerprints = new FingerprintMap();
  const perBlock = reader.blockSizeBytes / FINGERPRINT_BYTES;
  for await (const reference of reader.references(item)) {
    const plain = await reader.readBlock(reference, codecs);
    fingerprints.decodeFrom(plain, reference.index * perBlock);
  }
  return fingerprints;
}
