/** Entry of the thread that seals. */
import { MessageChannel, parentPort, workerData } from 'node:worker_threads';
import { ChunkCipher } from '../chunkCipher.ts';
import { CHUNK_BYTES, sealedStartOf } from '../sealFormat.ts';
import { PieceCursor } from './pieceCursor.ts';
import { Ring } from './ring.ts';
import { piecesOf, type SealAnswer, type SealJob, type SealSetup } from './sealJob.ts';

const setup = workerData as SealSetup;
const cipher = new ChunkCipher(setup.file, Buffer.from(setup.key), Buffer.from(setup.header));
const ring = new Ring(setup.ring);
const memories = [setup.ring];

/** Smaller buffers may share their memory with others. */
const OWN_MEMORY_BYTES = 8192;
const { port1: closedPort } = new MessageChannel();
closedPort.close();

/**
 * Frees the memory of a buffer that the cipher made. The garbage collector would let 30 MiB of them
 * gather, and each new one would miss the cache of the processor. A closed port takes what it is
 * given, and drops it.
 *
 * @see https://html.spec.whatwg.org/multipage/web-messaging.html#message-port-post-message-steps
 */
function free(piece: Buffer): void {
  if (piece.length < OWN_MEMORY_BYTES || piece.length < piece.buffer.byteLength) return;
  closedPort.postMessage(undefined, [piece.buffer as ArrayBuffer]);
}

function seal(job: SealJob): void {
  const { first, count } = job;
  memories.push(...job.added);
  const cursor = new PieceCursor(piecesOf(job, memories));
  let at = sealedStartOf(first);
  for (let chunk = first; chunk < first + count; chunk++) {
    for (const piece of cipher.seal(cursor.take(CHUNK_BYTES), chunk, false)) {
      ring.put(piece, at);
      at += piece.length;
      free(piece);
    }
  }
}

parentPort?.on('message', (job: SealJob) => {
  let error: string | undefined;
  try {
    seal(job);
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught);
  }
  parentPort?.postMessage({ error } satisfies SealAnswer);
});
