/** Reads of sealed chunks of a container, many at once. */
import type { Storage } from '../storage.ts';
import type { ChunkCipher } from './chunkCipher.ts';
import { sealedStartOf } from './sealFormat.ts';

/** Chunks of one read or write: 1 MiB. */
export const BATCH_CHUNKS = 4;

export interface SealedPart {
  readonly storage: Storage;
  readonly cipher: ChunkCipher;
  /** Number of the chunk that was sealed as the last one; -1 for none. */
  readonly lastChunk: number;
  /** End of that chunk in the sealed file. */
  readonly endBytes: number;
}

/**
 * Reads and opens the chunks `first` to `end - 1`, at most {@link BATCH_CHUNKS}.
 *
 * @param use - gets the plain bytes of each chunk, in order. They become its own.
 * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN`
 */
export async function readChunks(
  part: SealedPart,
  first: number,
  end: number,
  use: (chunk: number, plain: Buffer) => void,
): Promise<void> {
  const { storage, cipher, lastChunk } = part;
  const endOf = (chunk: number): number =>
    chunk === lastChunk ? part.endBytes : sealedStartOf(chunk + 1);
  const startBytes = sealedStartOf(first);
  const sealed = Buffer.allocUnsafeSlow(endOf(end - 1) - startBytes);
  await storage.read(sealed, startBytes);
  for (let chunk = first; chunk < end; chunk++) {
    const bytes = sealed.subarray(sealedStartOf(chunk) - startBytes, endOf(chunk) - startBytes);
    use(chunk, cipher.open(bytes, chunk, chunk === lastChunk));
  }
}

/** Copies the part of a chunk that lies in the target of a read at `offsetBytes`. */
export function copyInto(
  target: Uint8Array,
  offsetBytes: number,
  plain: Uint8Array,
  plainStart: number,
): void {
  const from = Math.max(0, offsetBytes - plainStart);
  const until = Math.min(plain.length, offsetBytes + target.length - plainStart);
  if (until > from) target.set(plain.subarray(from, until), plainStart + from - offsetBytes);
}
