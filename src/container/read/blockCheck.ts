/**
 * Checks a stored block: its length, CRC and digest, and that it is the block that the map asked
 * for.
 */
import { IntegrityError } from '../../core/errors.ts';
import {
  UNPACK_BAD_CRC,
  UNPACK_BAD_HEADER,
  UNPACK_BAD_LENGTH,
  UNPACK_BAD_STREAM,
} from '../../compute/storedForm.ts';

interface CheckedExtent {
  readonly blockId: number;
  readonly offsetBytes: number;
  readonly sourceBytes: number;
  readonly digest: Uint8Array;
}

interface Unpacked {
  /** 0, or one of the UNPACK_ values of storedForm.ts. */
  readonly status: number;
  readonly digest: Uint8Array;
}

interface Wanted {
  readonly lengthBytes: number;
  readonly digest: Uint8Array;
}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  [UNPACK_BAD_HEADER]: 'its LZ4 header is damaged',
  [UNPACK_BAD_LENGTH]: 'it does not expand to its length',
  [UNPACK_BAD_CRC]: 'its CRC-32C differs',
  [UNPACK_BAD_STREAM]: 'its compressed stream is damaged',
};

function damage(
  code: 'INTEGRITY_DECODE_FAILED' | 'INTEGRITY_CRC_MISMATCH' | 'INTEGRITY_DIGEST_MISMATCH',
  containerName: string,
  extent: CheckedExtent,
  what: string,
): IntegrityError {
  const { blockId, offsetBytes } = extent;
  return new IntegrityError(
    code,
    `${containerName}: stored block ${blockId} at ${offsetBytes} B: ${what}`,
    { hint: 'run "ovirt-cbt verify" to see what is damaged', details: { blockId, offsetBytes } },
  );
}

/**
 * Returns the error of a damaged block; undefined for a good one.
 *
 * @param unpacked - result of expanding the block.
 * @param wanted - length and digest that the map names; undefined when only the block itself is
 *   checked.
 */
export function blockDamage(
  containerName: string,
  extent: CheckedExtent,
  unpacked: Unpacked,
  wanted: Wanted | undefined,
): IntegrityError | undefined {
  if (unpacked.status !== 0) {
    const code =
      unpacked.status === UNPACK_BAD_CRC ? 'INTEGRITY_CRC_MISMATCH' : 'INTEGRITY_DECODE_FAILED';
    return damage(code, containerName, extent, STATUS_TEXT[unpacked.status] ?? 'unknown');
  }
  if (!Buffer.from(extent.digest).equals(unpacked.digest)) {
    return damage('INTEGRITY_DIGEST_MISMATCH', containerName, extent, 'its MD5 differs');
  }
  const isWanted =
    !wanted ||
    (wanted.lengthBytes === extent.sourceBytes && Buffer.from(wanted.digest).equals(extent.digest));
  if (!isWanted) {
    return damage(
      'INTEGRITY_DIGEST_MISMATCH',
      containerName,
      extent,
      'it is not the block that the map names',
    );
  }
  return undefined;
}

/** @throws {@link IntegrityError} when {@link blockDamage} finds damage */
export function checkPlainBlock(
  containerName: string,
  extent: CheckedExtent,
  unpacked: Unpacked,
  wanted: Wanted | undefined,
): void {
  const error = blockDamage(containerName, extent, unpacked, wanted);
  if (error) throw error;
}
