/** The first bytes of the map file of an overlay: which disk of which point it belongs to. */
import { crc32c } from '../../core/crc32.ts';
import { type BackupError, FormatError, IntegrityError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import { CLUSTER_BYTES } from './clusterMap.ts';

/** Sectors follow after it. */
export const HEADER_BYTES = 4096;
const MAGIC = Buffer.from('OCBTOVLY');
const VERSION = 1;
/** Places of the fields. Numbers are little-endian. */
const AT = { version: 8, crc: 12, clusterBytes: 16, sizeBytes: 20, pointId: 32, diskId: 1056 };
/** Most bytes of an id, without its length before it. */
const MAX_ID_BYTES = 1022;

/** The disk that an overlay belongs to. */
export interface OverlayIdentity {
  readonly pointId: string;
  readonly diskId: string;
  readonly sizeBytes: number;
}

export function encodeHeader(identity: OverlayIdentity): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(VERSION, AT.version);
  bytes.writeUInt32LE(CLUSTER_BYTES, AT.clusterBytes);
  bytes.writeBigUInt64LE(BigInt(identity.sizeBytes), AT.sizeBytes);
  writeId(bytes, AT.pointId, identity.pointId);
  writeId(bytes, AT.diskId, identity.diskId);
  bytes.writeUInt32LE(crc32c(bytes), AT.crc);
  return bytes;
}

/**
 * Reads a header.
 *
 * @param place - name of the file, for the error text.
 * @throws {@link FormatError}, {@link IntegrityError} for a header that is none, or is damaged
 */
export function decodeHeader(bytes: Buffer, place: string): OverlayIdentity {
  const fail = (code: 'FORMAT_BAD_MAGIC' | 'FORMAT_UNSUPPORTED', what: string): BackupError =>
    new FormatError(code, `${place}: ${what}`, { hint: START_ANEW });
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw fail('FORMAT_BAD_MAGIC', 'is not the map of an overlay');
  }
  const version = bytes.readUInt32LE(AT.version);
  if (version !== VERSION) throw fail('FORMAT_UNSUPPORTED', `has version ${version}`);
  const plain = Buffer.from(bytes).fill(0, AT.crc, AT.crc + 4);
  if (crc32c(plain) !== bytes.readUInt32LE(AT.crc)) throw damagedMap(place, 'its header');
  const clusterBytes = bytes.readUInt32LE(AT.clusterBytes);
  if (clusterBytes !== CLUSTER_BYTES) {
    throw fail('FORMAT_UNSUPPORTED', `has clusters of ${formatBytes(clusterBytes)}`);
  }
  return {
    sizeBytes: Number(bytes.readBigUInt64LE(AT.sizeBytes)),
    pointId: readId(bytes, AT.pointId, place),
    diskId: readId(bytes, AT.diskId, place),
  };
}

export const START_ANEW =
  'name another folder; deleting this overlay loses what clients wrote into it';

export function damagedMap(place: string, what: string): IntegrityError {
  return new IntegrityError('INTEGRITY_CRC_MISMATCH', `${place}: ${what} is damaged`, {
    hint: START_ANEW,
  });
}

function writeId(bytes: Buffer, at: number, id: string): void {
  const text = Buffer.from(id).subarray(0, MAX_ID_BYTES);
  bytes.writeUInt16LE(text.length, at);
  text.copy(bytes, at + 2);
}

function readId(bytes: Buffer, at: number, place: string): string {
  const lengthBytes = bytes.readUInt16LE(at);
  if (lengthBytes > MAX_ID_BYTES) throw damagedMap(place, 'an id in its header');
  return bytes.toString('utf8', at + 2, at + 2 + lengthBytes);
}
