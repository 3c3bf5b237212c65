/**
 * Sequential appends to a container, with few, large writes. Pieces that arrive while writes are
 * under way leave together in one vectored write. At most two writes and one sync are in flight.
 * The other threads of libuv's pool stay free for reads.
 */
import { SyncAhead } from '../../core/fileWrites.ts';
import { type BusyClock, clockOf, type StageStats } from '../../core/stats.ts';
import type { Storage } from '../../store/storage.ts';

const MAX_WRITES = 2;
const MAX_PIECES = 32;

interface Piece {
  readonly bytes: Uint8Array;
  readonly onWritten: () => void;
}

interface Drain {
  /** Number of pieces that must be settled first. */
  readonly untilPiece: number;
  readonly resolve: () => void;
}

export class AppendQueue {
  readonly #storage: Storage;
  readonly #clock: BusyClock;
  readonly #syncs: SyncAhead;
  readonly #stats: StageStats;
  readonly #waiting: Piece[] = [];
  /** Number of the first piece of each batch in flight. */
  readonly #inFlight = new Set<number>();
  #drains: Drain[] = [];
  #nextOffset: number;
  #startedPieces = 0;
  #failure: Error | undefined;

  constructor(storage: Storage, startBytes: number, stats: StageStats) {
    this.#storage = storage;
    this.#nextOffset = startBytes;
    this.#stats = stats;
    this.#clock = clockOf(stats);
    this.#syncs = new SyncAhead(() => storage.sync());
  }

  /** First error of a write, or of a sync between them. Nothing can be appended after it. */
  get failure(): Error | undefined {
    return this.#failure ?? this.#syncs.failure;
  }

  /**
   * Queues `bytes` after everything queued before. The bytes must not change until `onWritten` is
   * called. It is called once, also after a failed write.
   */
  push(bytes: Uint8Array, onWritten: () => void): void {
    this.#waiting.push({ bytes, onWritten });
    this.#pump();
  }

  /**
   * Waits for the pieces queued before this call. Rejects with {@link failure} when there is one
   * then.
   */
  async drain(): Promise<void> {
    const untilPiece = this.#startedPieces + this.#waiting.length;
    if (this.#settledPieces() < untilPiece) {
      await new Promise<void>((resolve) => this.#drains.push({ untilPiece, resolve }));
    }
    if (this.failure) throw this.failure;
  }

  /** Waits until no write and no sync is under way. */
  async settle(): Promise<void> {
    try {
      await this.drain();
    } finally {
      await this.#syncs.settle();
    }
  }

  /** The next piece goes to `offsetBytes`. Call it only while nothing is queued or in flight. */
  moveTo(offsetBytes: number): void {
    this.#nextOffset = offsetBytes;
  }

  /** Number of pieces, from the first one on, that are all written or failed. */
  #settledPieces(): number {
    return Math.min(this.#startedPieces, ...this.#inFlight);
  }

  #pump(): void {
    while (this.#inFlight.size < MAX_WRITES && this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_PIECES);
      const offsetBytes = this.#nextOffset;
      const firstPiece = this.#startedPieces;
      this.#nextOffset += sizeOf(batch);
      this.#startedPieces += batch.length;
      this.#inFlight.add(firstPiece);
      void this.#write(batch, offsetBytes, firstPiece);
    }
    const settled = this.#settledPieces();
    const due = this.#drains.filter((drain) => drain.untilPiece <= settled);
    this.#drains = this.#drains.filter((drain) => drain.untilPiece > settled);
    for (const drain of due) drain.resolve();
  }

  async #write(batch: readonly Piece[], offsetBytes: number, firstPiece: number): Promise<void> {
    try {
      if (!this.failure) {
        const pieces = batch.map((piece) => piece.bytes);
        await this.#clock.time(() => this.#storage.write(pieces, offsetBytes));
        this.#stats.blocks += batch.length;
        this.#stats.bytes += sizeOf(batch);
        this.#syncs.add(sizeOf(batch));
      }
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#inFlight.delete(firstPiece);
    for (const piece of batch) piece.onWritten();
    this.#pump();
  }
}

function sizeOf(batch: readonly Piece[]): number {
  return batch.reduce((sum, piece) => sum + piece.bytes.length, 0);
}
