/** Extents and checksums of an image (imageio: `handlers/extents.py`, `handlers/checksum.py`). */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KIB, MIB } from '../units.ts';
import type { ViewExtent } from '../dataPlane.ts';
import { ImageioError, unknownValue } from './errors.ts';
import type { TicketRequest } from './images.ts';
import type { LabHttpResponse } from '../http/response.ts';

/** imageio's default is BLAKE2b with 32 bytes, which Node does not have. */
const CHECKSUM_ALGORITHMS = ['sha256'];
const DEFAULT_ALGORITHM = 'blake2b';
const DEFAULT_BLOCK_BYTES = 4 * MIB;
const MIN_BLOCK_BYTES = MIB;
const MAX_BLOCK_BYTES = 16 * MIB;
const BLOCK_ALIGN_BYTES = 4 * KIB;

function toWireExtent(extent: ViewExtent): object {
  const { offsetBytes: start, lengthBytes: length, zero, hole, dirty } = extent;
  return dirty === undefined ? { start, length, zero, hole } : { start, length, dirty, zero };
}

/** Sends all extents at once. Restarts neither clock of the ticket. */
export function listExtents({ request, state }: TicketRequest): LabHttpResponse {
  const context = request.query.get('context') ?? 'zero';
  if (context !== 'zero' && context !== 'dirty') {
    throw unknownValue('context', context, ['dirty', 'zero']);
  }
  if (context === 'dirty' && !state.ticket.dirty) {
    throw new ImageioError(404, 'Ticket does not support dirty extents');
  }
  const extents = state.ticket.target.extents(context).map(toWireExtent);
  return { status: 200, body: request.corruptExtents?.(extents) ?? extents };
}

export function listChecksumAlgorithms(): LabHttpResponse {
  return { status: 200, body: { algorithms: CHECKSUM_ALGORITHMS } };
}

/** @throws {@link ImageioError} 400 */
function parseBlockBytes(text: string | null): number {
  const blockBytes = text === null ? DEFAULT_BLOCK_BYTES : Number(text);
  if (!Number.isInteger(blockBytes)) {
    throw new ImageioError(400, `Invalid block size: '${text}'`);
  }
  if (blockBytes < MIN_BLOCK_BYTES || blockBytes > MAX_BLOCK_BYTES) {
    const range = `${MIN_BLOCK_BYTES}-${MAX_BLOCK_BYTES}`;
    throw new ImageioError(400, `Block size out of allowed range: ${range}`);
  }
  if (blockBytes % BLOCK_ALIGN_BYTES === 0) return blockBytes;
  throw new ImageioError(400, 'Block size is not aligned to 4096');
}

/** Digest over the digests of all blocks. The whole image is read and counts as transferred. */
export async function computeChecksum({ request, state }: TicketRequest): Promise<LabHttpResponse> {
  const algorithm = request.query.get('algorithm') ?? DEFAULT_ALGORITHM;
  if (!CHECKSUM_ALGORITHMS.includes(algorithm)) {
    throw unknownValue('algorithm', algorithm, CHECKSUM_ALGORITHMS);
  }
  const blockBytes = parseBlockBytes(request.query.get('block_size'));
  const { target } = state.ticket;
  const { sizeBytes } = target;
  const operation = state.begin(request.socket);
  const hash = createHash(algorithm);
  let doneBytes = 0;
  while (doneBytes < sizeBytes && !state.isCancelled) {
    const block = target.read(doneBytes, Math.min(blockBytes, sizeBytes - doneBytes));
    hash.update(createHash(algorithm).update(block).digest());
    doneBytes += block.length;
    await nextTurn();
  }
  operation.end(0, doneBytes);
  state.assertAllows('read');
  return {
    status: 200,
    body: { algorithm, block_size: blockBytes, checksum: hash.digest('hex') },
  };
}
