/** Requests of clients: their form, and which of them are refused. */
import type { Chosen } from './negotiation.ts';
import {
  COMMAND,
  COMMAND_FLAGS,
  MAX_BLOCK_BYTES,
  NBD_ERROR,
  type NbdErrorNumber,
  NbdFailure,
  REQUEST_MAGIC,
} from './protocol.ts';
import { ConnectionEnded } from './socketReader.ts';

export interface Request {
  readonly flags: number;
  readonly command: number;
  readonly cookie: Buffer;
  /** Not exact above 2^53, which is beyond all disks. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** @throws {@link ConnectionEnded} for bytes that are no request */
export function parseRequest(bytes: Buffer): Request {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) throw new ConnectionEnded();
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    cookie: Buffer.from(bytes.subarray(8, 16)),
    offsetBytes: Number(bytes.readBigUInt64BE(16)),
    lengthBytes: bytes.readUInt32BE(24),
  };
}

export function hasFlag(request: Request, flag: number): boolean {
  return (request.flags & flag) !== 0;
}

const { fua, noHole, df, reqOne, fastZero } = COMMAND_FLAGS;

/** Flags of each command. A force of unit access is allowed everywhere. */
const FLAGS: ReadonlyMap<number, number> = new Map([
  [COMMAND.read, fua | df],
  [COMMAND.write, fua],
  [COMMAND.flush, fua],
  [COMMAND.trim, fua],
  [COMMAND.cache, fua],
  [COMMAND.writeZeroes, fua | noHole | fastZero],
  [COMMAND.blockStatus, fua | reqOne],
]);
const WRITES: ReadonlySet<number> = new Set([COMMAND.write, COMMAND.trim, COMMAND.writeZeroes]);
/** A write beyond the disk finds no space. Anything else beyond it is a wrong argument. */
const NEEDS_SPACE: ReadonlySet<number> = new Set([COMMAND.write, COMMAND.writeZeroes]);

/** The error for a request that is not served, as the protocol has it; undefined for a good one. */
export function refusalOf(request: Request, chosen: Chosen): NbdFailure | undefined {
  const { command, flags, offsetBytes, lengthBytes } = request;
  const { sizeBytes, writer } = chosen.served;
  const allowed = FLAGS.get(command);
  if (allowed === undefined) return refuse(NBD_ERROR.einval, `command ${command} is not known`);
  if ((flags & ~allowed) !== 0) return refuse(NBD_ERROR.einval, `flags ${flags} are not known`);
  if (command === COMMAND.flush) return undefined;
  if (WRITES.has(command) && !writer) return refuse(NBD_ERROR.eperm, 'the export is read-only');
  if (offsetBytes + lengthBytes > sizeBytes) {
    return refuse(
      NEEDS_SPACE.has(command) ? NBD_ERROR.enospc : NBD_ERROR.einval,
      `bytes ${offsetBytes} to ${offsetBytes + lengthBytes} of a disk of ${sizeBytes} B`,
    );
  }
  return refusalOfLength(request) ?? refusalOfKind(request, chosen);
}

function refusalOfLength({ command, lengthBytes }: Request): NbdFailure | undefined {
  if (lengthBytes <= MAX_BLOCK_BYTES) return undefined;
  if (command === COMMAND.read) {
    return refuse(NBD_ERROR.eoverflow, `read of ${lengthBytes} B, at most 32 MiB`);
  }
  if (command === COMMAND.write) {
    return refuse(NBD_ERROR.einval, `write of ${lengthBytes} B, at most 32 MiB`);
  }
  return undefined;
}

function refusalOfKind(request: Request, chosen: Chosen): NbdFailure | undefined {
  const { command, offsetBytes, lengthBytes } = request;
  if (command === COMMAND.blockStatus) {
    if (!chosen.hasAllocation) {
      return refuse(NBD_ERROR.einval, 'block status without a context');
    }
    if (lengthBytes === 0) return refuse(NBD_ERROR.einval, 'block status of nothing');
  }
  if (command === COMMAND.writeZeroes && hasFlag(request, fastZero)) {
    const isFast =
      !hasFlag(request, noHole) && chosen.served.writer?.isZeroFast(offsetBytes, lengthBytes);
    if (!isFast) return refuse(NBD_ERROR.enotsup, 'zeros here cost as much as a write');
  }
  return undefined;
}

function refuse(errorNumber: NbdErrorNumber, text: string): NbdFailure {
  return new NbdFailure(errorNumber, text);
}
