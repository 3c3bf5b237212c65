/**
 * A sealed container that is written. Bytes are sealed chunk by chunk, in the order of the calls.
 *
 * A chunk waits in memory until each of its bytes is written. The last chunk of the file waits
 * too, because it is sealed as the last one. Over a file system, `sync` writes what waits, so a
 * chunk can be written several times. Over object storage each chunk is written once: a full one in
 * the order of the calls, all others at `close`, the first chunks of the file first.
 *
 * After a failure the file may lack chunks. So each later call fails too, and so does `close`.
 */
import { FormatError } from '../../core/errors.ts';
import type { Storage } from '../storage.ts';
import type { ChunkCipher } from './chunkCipher.ts';
import { BATCH_CHUNKS, copyInto, readChunks } from './chunkReads.ts';
import type { FilePlace, KeyRing } from './keys.ts';
import { ChunkMemory, OpenChunk } from './openChunk.ts';
import { chunkAt, CHUNKS_MAGIC, lastChunkOf, plainBytesOf, plainStartOf } from './sealFormat.ts';
import { PutBatch, SealedPuts } from './sealedPuts.ts';
import { PieceCursor } from './stream/pieceCursor.ts';
import { SealStream, type StreamOptions } from './stream/sealStream.ts';

export class SealedWriter implements Storage {
  readonly name: string;
  readonly canReadBack: boolean;
  readonly #storage: Storage;
  readonly #cipher: ChunkCipher;
  readonly #puts: SealedPuts;
  readonly #stream: SealStream;
  /** Chunks that wait. The last chunk of the file is always one of them. */
  readonly #open = new Map<number, OpenChunk>();
  readonly #memory = new ChunkMemory();
  /** Chunks before the last one of which no byte was written. */
  readonly #gaps = new Set<number>();
  #sizeBytes = 0;
  /** Calls seal one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** First error of a call that seals. */
  #failure: Error | undefined;
  #isClosed = false;

  private constructor(storage: Storage, cipher: ChunkCipher, options?: StreamOptions) {
    this.name = storage.name;
    this.canReadBack = storage.canReadBack;
    this.#storage = storage;
    this.#cipher = cipher;
    this.#puts = new SealedPuts(storage);
    this.#stream = new SealStream(storage, cipher, options);
  }

  /** @param storage - empty. It becomes the writer's, who closes it. */
  static async create(
    storage: Storage,
    keys: KeyRing,
    place: FilePlace,
    options?: StreamOptions,
  ): Promise<SealedWriter> {
    const { cipher, header } = keys.startFile(CHUNKS_MAGIC, place);
    await storage.write([header], 0);
    return new SealedWriter(storage, cipher, options);
  }

  async sizeBytes(): Promise<number> {
    return this.#sizeBytes;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    this.#throwIfFailed();
    const endBytes = offsetBytes + target.length;
    if (endBytes > this.#sizeBytes) {
      throw new FormatError('FORMAT_TRUNCATED', `${this.name}: ends at ${this.#sizeBytes} B`);
    }
    const end = chunkAt(Math.max(0, endBytes - 1)) + 1;
    for (let chunk = chunkAt(offsetBytes); chunk < end; ) {
      const plain = this.#inMemory(chunk);
      if (plain) {
        copyInto(target, offsetBytes, plain, plainStartOf(chunk));
        chunk++;
        continue;
      }
      const first = chunk;
      while (chunk < Math.min(end, first + BATCH_CHUNKS) && !this.#inMemory(chunk)) chunk++;
      await this.#load(first, chunk, (loaded, bytes) =>
        copyInto(target, offsetBytes, bytes, plainStartOf(loaded)),
      );
    }
  }

  /** Resolves when the storage below has the full chunks, and the bytes of others are copied. */
  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const batch = new PutBatch(this.#puts);
    let settled: Promise<void> | undefined;
    await this.#inTurn(async () => {
      await this.#take(pieces, offsetBytes, batch);
      await batch.flush();
      await this.#stream.send();
      settled = this.#stream.settle();
      settled.catch(() => {});
    });
    await batch.settle();
    await settled;
  }

  async sync(): Promise<void> {
    if (this.canReadBack) {
      await this.#inTurn(() => this.#flush());
      await this.#puts.settle();
    }
    this.#throwIfFailed();
    await this.#storage.sync();
  }

  /**
   * Seals what is left, so that the file is whole.
   *
   * @throws the first failure of the writer, also when a call has thrown it. The storage below is
   *   closed then too.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.#turn;
      this.#throwIfFailed();
      await this.#finish();
    } finally {
      await this.#stream.close().catch(() => {});
      await this.#puts.settle().catch(() => {});
      await this.#storage.close();
    }
  }

  async #finish(): Promise<void> {
    if (this.#sizeBytes === 0) this.#openEmpty(0).isDirty = true;
    for (const gap of this.#gaps) this.#openEmpty(gap).isDirty = true;
    const isChanged = [...this.#open.values()].some(({ isDirty }) => isDirty);
    if (isChanged) await this.#flush();
    await this.#puts.settle();
    if (isChanged && this.canReadBack) await this.#storage.sync();
  }

  async #take(pieces: readonly Uint8Array[], offsetBytes: number, batch: PutBatch): Promise<void> {
    const endBytes = offsetBytes + pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (endBytes === offsetBytes) return;
    const [first, end] = [chunkAt(offsetBytes), chunkAt(endBytes - 1) + 1];
    await this.#grow(endBytes, batch);
    const cursor = new PieceCursor(pieces);
    for (let chunk = first; chunk < end; chunk++) {
      const at = Math.max(0, offsetBytes - plainStartOf(chunk));
      const until = Math.min(plainBytesOf(chunk), endBytes - plainStartOf(chunk));
      await this.#takePart(chunk, cursor.take(until - at), at, batch);
    }
  }

  /** Makes the file longer. What was its last chunk is no longer sealed as such. */
  async #grow(endBytes: number, batch: PutBatch): Promise<void> {
    const oldLast = this.#sizeBytes === 0 ? -1 : lastChunkOf(this.#sizeBytes);
    this.#sizeBytes = Math.max(this.#sizeBytes, endBytes);
    const last = lastChunkOf(this.#sizeBytes);
    for (let chunk = oldLast + 1; chunk <= last; chunk++) this.#gaps.add(chunk);
    const old = this.#open.get(oldLast);
    if (!old || last === oldLast) return;
    old.isDirty = true;
    if (old.isComplete) await this.#sealOpen(oldLast, old, batch);
  }

  async #takePart(
    chunk: number,
    parts: readonly Uint8Array[],
    at: number,
    batch: PutBatch,
  ): Promise<void> {
    const isLast = chunk === lastChunkOf(this.#sizeBytes);
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (!isLast && bytes === plainBytesOf(chunk)) {
      this.#gaps.delete(chunk);
      this.#open.delete(chunk);
      await this.#seal(chunk, parts, batch);
      return;
    }
    const open = await this.#openChunk(chunk);
    open.write(parts, at);
    if (!isLast && open.isComplete) await this.#sealOpen(chunk, open, batch);
  }

  async #sealOpen(chunk: number, open: OpenChunk, batch: PutBatch): Promise<void> {
    this.#open.delete(chunk);
    await this.#seal(chunk, [open.bytes], batch, () => this.#memory.give(open.bytes));
  }

  /** Seals a chunk that is full and not the last one. */
  async #seal(
    chunk: number,
    parts: readonly Uint8Array[],
    batch: PutBatch,
    onSealed?: () => void,
  ): Promise<void> {
    if (this.#stream.takes(chunk)) {
      await batch.flush();
      await this.#puts.settle(chunk, chunk + 1);
      await this.#stream.add(chunk, parts, onSealed);
      return;
    }
    await this.#stream.end();
    const sealed = this.#cipher.seal(parts, chunk, false);
    onSealed?.();
    await batch.add(chunk, sealed);
  }

  /** Writes those of the chunks that the file does not hold yet. */
  async #flush(): Promise<void> {
    const last = lastChunkOf(this.#sizeBytes);
    const batch = new PutBatch(this.#puts);
    await this.#stream.send();
    await this.#stream.drain();
    for (const chunk of [...this.#open.keys()].toSorted((a, b) => a - b)) {
      const open = this.#open.get(chunk);
      if (!open?.isDirty) continue;
      open.isDirty = false;
      if (this.#stream.holds(chunk, chunk + 1)) await this.#stream.end();
      const isLast = chunk === last;
      const lengthBytes = isLast ? this.#sizeBytes - plainStartOf(chunk) : open.bytes.length;
      const part = open.bytes.subarray(0, lengthBytes);
      await batch.add(chunk, this.#cipher.seal([part], chunk, isLast));
    }
    await batch.flush();
    await batch.settle();
  }

  /** The chunk in memory. One that was written before is read back. */
  async #openChunk(chunk: number): Promise<OpenChunk> {
    const known = this.#open.get(chunk);
    if (known) return known;
    if (this.#gaps.has(chunk)) return this.#openEmpty(chunk);
    let plain: Buffer = Buffer.alloc(0);
    await this.#load(chunk, chunk + 1, (_, loaded) => {
      plain = loaded;
    });
    const open = new OpenChunk(plain, true);
    this.#open.set(chunk, open);
    return open;
  }

  #openEmpty(chunk: number): OpenChunk {
    const open = new OpenChunk(this.#memory.take(chunk), false);
    this.#gaps.delete(chunk);
    this.#open.set(chunk, open);
    return open;
  }

  #inMemory(chunk: number): Buffer | undefined {
    if (this.#gaps.has(chunk)) return Buffer.alloc(plainBytesOf(chunk));
    return this.#open.get(chunk)?.bytes;
  }

  async #load(
    first: number,
    end: number,
    use: (chunk: number, plain: Buffer) => void,
  ): Promise<void> {
    await this.#puts.settle(first, end);
    if (this.#stream.holds(first, end)) await this.#stream.drain();
    const [storage, cipher] = [this.#storage, this.#cipher];
    await readChunks({ storage, cipher, lastChunk: -1, endBytes: 0 }, first, end, use);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const run = this.#turn.then(async () => {
      this.#throwIfFailed();
      await work();
    });
    this.#turn = run.catch((error: unknown) => {
      this.#failure ??= error as Error;
    });
    await run;
  }

  /** The thread that seals and the writes below may fail between two calls. */
  #throwIfFailed(): void {
    const failure = this.#failure ?? this.#puts.failure ?? this.#stream.failure;
    if (failure) throw failure;
  }
}
