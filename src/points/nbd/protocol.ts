/**
 * Numbers of the NBD protocol: fixed newstyle negotiation, structured replies, block status.
 *
 * @see the protocol document of the NBD project, doc/proto.md
 */

/** `NBDMAGIC`, the first eight bytes of a server. */
export const SERVER_MAGIC = 0x4e42444d41474943n;
/** `IHAVEOPT`, before every option. */
export const OPTION_MAGIC = 0x49484156454f5054n;
export const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

export const HANDSHAKE_FLAGS = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const OPTION_REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: 0x80000001,
  invalid: 0x80000003,
  tlsRequired: 0x80000005,
  unknown: 0x80000006,
  tooBig: 0x80000009,
} as const;

export const INFO = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const TRANSMISSION_FLAGS = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
  sendCache: 1024,
  sendFastZero: 2048,
} as const;

export const COMMAND = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export const COMMAND_FLAGS = { fua: 1, noHole: 2, df: 4, reqOne: 8, fastZero: 16 } as const;

export const CHUNK = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: 0x8001,
} as const;
/** Flag of the last chunk of a reply. */
export const CHUNK_DONE = 1;

export const NBD_ERROR = {
  eperm: 1,
  eio: 5,
  einval: 22,
  enospc: 28,
  eoverflow: 75,
  enotsup: 95,
  eshutdown: 108,
} as const;
export type NbdErrorNumber = (typeof NBD_ERROR)[keyof typeof NBD_ERROR];

export const ALLOCATION_CONTEXT = 'base:allocation';
export const ALLOCATION_CONTEXT_ID = 1;
/** State of a range of zeros in `base:allocation`: a hole that reads as zeros. */
export const HOLE_AND_ZERO = 3;

export const REQUEST_BYTES = 28;
/** Most bytes of one read or write. Clients see it as the largest block size. */
export const MAX_BLOCK_BYTES: number = 32 * 1024 * 1024;
/** Most bytes of the data of an option. */
export const MAX_OPTION_BYTES: number = 64 * 1024;

/** A request that a client got wrong, or that cannot be served. */
export class NbdFailure extends Error {
  readonly errorNumber: NbdErrorNumber;
  /** Equal for failures that have one cause, though their texts differ. */
  readonly topic: string;

  constructor(errorNumber: NbdErrorNumber, text: string, topic: string = text) {
    super(text);
    this.errorNumber = errorNumber;
    this.topic = topic;
  }
}
