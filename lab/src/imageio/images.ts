/**
 * `/images/{ticket}`: features, reads, writes, zeroes, flushes (imageio: `handlers/images.py`).
 * Data is sent in pieces at the pace of the client. An operation ends with its last piece.
 */
import { z } from 'zod';
import { MIB } from '../units.ts';
import { closing, ImageioError, unknownValue } from './errors.ts';
import { assertInside, type ByteRange, parseContentRange, parseRange } from './ranges.ts';
import { MAX_CONNECTIONS, type TicketState } from './tickets.ts';
import type { LabHttpRequest } from '../http/server.ts';
import type { LabHttpResponse } from '../http/response.ts';
import type { LabTrafficMeter } from '../http/traffic.ts';

const PIECE_BYTES = MIB;
const READ_FEATURES = ['checksum', 'extents'];
const WRITE_FEATURES = [...READ_FEATURES, 'flush', 'zero'];
const ALLOW_READ = 'OPTIONS,GET';
const ALLOW_WRITE = 'OPTIONS,GET,PUT,PATCH';
/** Abstract socket that imageio offers to clients on its own host. */
const UNIX_SOCKET = '\0/org/ovirt/imageio';

/** A request with its ticket. Access was checked already. */
export interface TicketRequest {
  readonly request: LabHttpRequest;
  readonly state: TicketState;
  readonly traffic: LabTrafficMeter;
}

/** `OPTIONS /images/*`: features of the server, without a ticket. */
export function describeServer(): LabHttpResponse {
  return {
    status: 200,
    headers: { allow: ALLOW_WRITE },
    body: { unix_socket: UNIX_SOCKET, features: WRITE_FEATURES },
  };
}

export function describeImage({ state }: TicketRequest): LabHttpResponse {
  state.touch();
  const isWritable = state.ticket.mode === 'write';
  return {
    status: 200,
    headers: { allow: isWritable ? ALLOW_WRITE : ALLOW_READ },
    body: {
      unix_socket: UNIX_SOCKET,
      features: isWritable ? WRITE_FEATURES : READ_FEATURES,
      max_readers: MAX_CONNECTIONS,
      max_writers: MAX_CONNECTIONS,
    },
  };
}

function* readPieces(state: TicketState, range: ByteRange): Generator<Buffer> {
  const endBytes = range.offsetBytes + range.lengthBytes;
  for (let atBytes = range.offsetBytes; atBytes < endBytes; atBytes += PIECE_BYTES) {
    if (state.isCancelled) throw new Error('the ticket was cancelled');
    yield state.ticket.target.read(atBytes, Math.min(PIECE_BYTES, endBytes - atBytes));
  }
}

export function readImage({ request, state, traffic }: TicketRequest): LabHttpResponse {
  const { target } = state.ticket;
  const { sizeBytes } = target;
  const asked = parseRange(request.headers.range, sizeBytes);
  const range = asked ?? { offsetBytes: 0, lengthBytes: sizeBytes };
  const lastByte = range.offsetBytes + range.lengthBytes - 1;
  const contentRange = `bytes ${range.offsetBytes}-${lastByte}/${sizeBytes}`;
  if (range.lengthBytes < 0) {
    const text = `Requested ${range.lengthBytes} bytes, available 0 bytes`;
    throw new ImageioError(400, text, { 'content-range': contentRange });
  }
  const operation = state.begin(request.socket);
  return {
    status: asked ? 206 : 200,
    headers: {
      'content-disposition': 'attachment',
      ...(asked && { 'content-range': contentRange }),
      ...(request.query.get('close') === 'y' && { connection: 'close' }),
    },
    stream: { contentLengthBytes: range.lengthBytes, pieces: readPieces(state, range) },
    onEnd: (sentBytes, isComplete) => {
      operation.end(range.offsetBytes, sentBytes);
      if (isComplete) traffic.readBytes.count(target.diskId, sentBytes);
    },
  };
}

/** Length of the body. imageio has no chunked requests. @throws {@link ImageioError} 400 */
function contentLengthOf(request: LabHttpRequest): number {
  const header = request.headers['content-length'];
  if (header === undefined) throw new ImageioError(400, 'Content-Length header is required');
  return Number(header);
}

function assertFlushParameter(value: string | null): void {
  if (value === null || value === 'y' || value === 'n') return;
  throw unknownValue('flush', value, ['n', 'y']);
}

/** The range of a PUT, checked before its body is used. @throws {@link ImageioError} */
function writeRangeOf(request: LabHttpRequest, sizeBytes: number): ByteRange {
  try {
    const lengthBytes = contentLengthOf(request);
    const offsetBytes = parseContentRange(request.headers['content-range']);
    assertFlushParameter(request.query.get('flush'));
    assertInside({ offsetBytes, lengthBytes }, sizeBytes);
    return { offsetBytes, lengthBytes };
  } catch (error) {
    throw error instanceof ImageioError ? closing(error) : error;
  }
}

export function writeImage({ request, state, traffic }: TicketRequest): LabHttpResponse {
  const { target } = state.ticket;
  const { offsetBytes, lengthBytes } = writeRangeOf(request, target.sizeBytes);
  const { body } = request;
  const operation = state.begin(request.socket);
  let doneBytes = 0;
  try {
    target.write?.(offsetBytes, body);
    doneBytes = body.length;
  } finally {
    operation.end(offsetBytes, doneBytes);
  }
  if (doneBytes < lengthBytes) {
    const text = `Requested ${lengthBytes} bytes, available ${doneBytes} bytes`;
    throw new ImageioError(400, text, { connection: 'close' });
  }
  traffic.writtenBytes.count(target.diskId, doneBytes);
  return { status: 200 };
}

const patchSchema = z.discriminatedUnion('op', [
  z.object({
    op: z.literal('zero'),
    offset: z.int().nonnegative().default(0),
    size: z.int().nonnegative(),
    flush: z.boolean().optional(),
  }),
  z.object({ op: z.literal('flush') }),
]);

/** Reads the body as JSON, whatever its content-type. @throws {@link ImageioError} 400 */
function parsePatch(request: LabHttpRequest): z.infer<typeof patchSchema> {
  contentLengthOf(request);
  try {
    return patchSchema.parse(JSON.parse(request.body.toString('utf8')));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new ImageioError(400, `Invalid request: ${reason.replaceAll(/\s+/g, ' ')}`);
  }
}

export function patchImage({ request, state, traffic }: TicketRequest): LabHttpResponse {
  const patch = parsePatch(request);
  const { target } = state.ticket;
  if (patch.op === 'flush') {
    state.touch();
    return { status: 200 };
  }
  assertInside({ offsetBytes: patch.offset, lengthBytes: patch.size }, target.sizeBytes);
  const operation = state.begin(request.socket);
  target.zero?.(patch.offset, patch.size);
  operation.end(patch.offset, patch.size);
  traffic.zeroedBytes.count(target.diskId, patch.size);
  return { status: 200 };
}
