/**
 * Seals long runs of chunks in a thread of its own. All chunks are full, follow each other, and
 * none of them is the last one of the file.
 *
 * Shorter runs stay with the caller: a small file need not pay for the start of a thread.
 */
import { invariant } from '../../../core/errors.ts';
import { MIB } from '../../../core/units.ts';
import type { Storage } from '../../storage.ts';
import type { ChunkCipher } from '../chunkCipher.ts';
import { CHUNK_BYTES, NONCE_BYTES, sealedStartOf } from '../sealFormat.ts';
import { createRingMemory, Ring } from './ring.ts';
import { RingWriter } from './ringWriter.ts';
import { MemoryNumbers } from './sealJob.ts';
import { ThreadSealer } from './threadSealer.ts';

export interface StreamOptions {
  /** Chunks that follow each other before the thread starts. */
  readonly startChunks?: number | undefined;
  readonly ringBytes?: number | undefined;
}

/** 32 MiB. */
const START_CHUNKS = 128;
const RING_BYTES = 8 * MIB;

interface SentJob {
  /** In bytes of the sealed file. */
  readonly endBytes: number;
  readonly onSealed: readonly (() => void)[];
}

interface Running {
  readonly ring: Ring;
  readonly writer: RingWriter;
  readonly sealer: ThreadSealer;
  readonly memories: MemoryNumbers;
}

export class SealStream {
  readonly #storage: Storage;
  readonly #cipher: ChunkCipher;
  readonly #startChunks: number;
  readonly #ringBytes: number;
  /** Chunks of the largest job: a quarter of the ring. */
  readonly #jobChunks: number;
  #running: Running | undefined;
  /** Jobs that the thread has. */
  readonly #jobs: SentJob[] = [];
  /** Chunks of the run: those from `#first` to `#next - 1`. `#first` is -1 while there is none. */
  #first = -1;
  #next = 0;
  /** Chunks before `#next` that wait for a full job. */
  #waiting: (readonly Uint8Array[])[] = [];
  #onSealed: (() => void)[] = [];
  /** End of the last job of the run. */
  #sentBytes = 0;
  /** The run that the caller seals. */
  #seenEnd = 0;
  #seenCount = 0;

  constructor(
    storage: Storage,
    cipher: ChunkCipher,
    { startChunks = START_CHUNKS, ringBytes = RING_BYTES }: StreamOptions = {},
  ) {
    this.#storage = storage;
    this.#cipher = cipher;
    this.#startChunks = startChunks;
    this.#ringBytes = ringBytes;
    this.#jobChunks = Math.max(1, Math.floor(ringBytes / 4 / CHUNK_BYTES));
  }

  /** First error of a write or of the thread. */
  get failure(): Error | undefined {
    return this.#running?.writer.failure;
  }

  /** True when one of the chunks `first` to `end - 1` belongs to the run. */
  holds(first: number, end: number): boolean {
    return this.#first >= 0 && first < this.#next && end > this.#first;
  }

  /** True when the chunk goes on with the run, or begins one that is worth the thread. */
  takes(chunk: number): boolean {
    if (this.#first >= 0) return chunk === this.#next;
    this.#seenCount = chunk === this.#seenEnd ? this.#seenCount + 1 : 1;
    this.#seenEnd = chunk + 1;
    return this.#seenCount > this.#startChunks;
  }

  /**
   * @param parts - of a chunk that {@link takes}. They must not change until it is settled.
   * @param onSealed - is called when the thread has sealed the chunk, unless it fails.
   */
  async add(chunk: number, parts: readonly Uint8Array[], onSealed?: () => void): Promise<void> {
    if (this.#first < 0) this.#begin(chunk);
    this.#waiting.push(parts);
    if (onSealed) this.#onSealed.push(onSealed);
    this.#next = chunk + 1;
    if (this.#waiting.length === this.#jobChunks) await this.send();
  }

  /** Sends what waits for a full job. */
  async send(): Promise<void> {
    const running = this.#running;
    if (!running || this.#waiting.length === 0) return;
    const [chunks, next] = [this.#waiting, this.#next];
    this.#waiting = [];
    const end = sealedStartOf(next);
    await running.writer.room(end);
    const first = next - chunks.length;
    const plain = chunks.flatMap((parts, k) => inShared(running.ring, parts, first + k));
    this.#jobs.push({ endBytes: end, onSealed: this.#onSealed });
    this.#onSealed = [];
    this.#sentBytes = end;
    running.sealer.send(running.memories.jobOf(first, chunks.length, plain));
  }

  /** Waits until what was sent is written, but for less than a page that waits in memory. */
  async settle(): Promise<void> {
    if (this.#first >= 0) await this.#running?.writer.settle(this.#sentBytes);
  }

  /** Waits until all that was sent is written. */
  async drain(): Promise<void> {
    if (this.#first >= 0) await this.#running?.writer.flush(this.#sentBytes);
  }

  /** Ends the run. */
  async end(): Promise<void> {
    if (this.#first < 0) return;
    await this.send();
    await this.drain();
    this.#first = -1;
    this.#seenCount = 0;
  }

  /** Ends the thread. What was not drained is lost. */
  async close(): Promise<void> {
    await this.#running?.sealer.close();
    await this.#running?.writer.idle();
  }

  #begin(chunk: number): void {
    this.#running ??= this.#start();
    this.#first = chunk;
    this.#sentBytes = sealedStartOf(chunk);
    this.#running.writer.begin(this.#sentBytes);
  }

  #start(): Running {
    const ring = new Ring(createRingMemory(this.#ringBytes));
    const writer = new RingWriter(this.#storage, ring);
    const sealer = new ThreadSealer(
      { ...this.#cipher.secrets(), ring: ring.memory },
      {
        onSealed: () => {
          const job = this.#jobs.shift();
          invariant(job, 'an answer of the thread that seals without a job');
          for (const done of job.onSealed) done();
          writer.ready(job.endBytes);
        },
        onFailure: (error) => writer.fail(error),
      },
    );
    return { ring, writer, sealer, memories: new MemoryNumbers(ring.memory) };
  }
}

/**
 * The plain bytes of a chunk in shared memory. Others are copied to the place of their sealed
 * bytes, which the thread then overwrites.
 */
function inShared(ring: Ring, parts: readonly Uint8Array[], chunk: number): Uint8Array[] {
  let at = sealedStartOf(chunk) + NONCE_BYTES;
  return parts.flatMap((part) => {
    const offsetBytes = at;
    at += part.length;
    return part.buffer instanceof SharedArrayBuffer ? [part] : ring.put(part, offsetBytes);
  });
}
