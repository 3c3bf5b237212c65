/**
 * Sequential appends to a container with few, large writes: pieces that arrive while writes are under way
 * go out together in one vectored write. Two writes at most are in flight, so that the thread pool of
 * libuv stays free for reads, and a sync beside them.
 */
import { SyncAhead } from '../../core/fileWrites.ts';
import { type BusyClock, clockOf, type StageStats } from '../../core/stats.ts';
import type { Storage } from '../storage.ts';

const MAX_WRITES = 2;
const MAX_PIECES = 32;

interface Piece {
  readonly bytes: Uint8Array;
  readonly onWritten: () => void;
}

interface Drain {
  /** Pieces that have to be settled. */
  readonly untilPiece: number;
  readonly resolve: () => void;
}

export class AppendQueue {
  readonly #storage: Storage;
  readonly #clock: BusyClock;
  readonly #syncs: SyncAhead;
  readonly #stats: StageStats;
  readonly #waiting: Piece[] = [];
  /** First piece number of each batch in flight. */
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

  /** An error of a write or of a sync beside them; every later append is pointless. */
  get failure(): Error | undefined {
    return this.#failure ?? this.#syncs.failure;
  }

  /** Queues `bytes` behind everything queued before. `onWritten` runs once, also after a failed write. */
  push(bytes: Uint8Array, onWritten: () => void): void {
    this.#waiting.push({ bytes, onWritten });
    this.#pump();
  }

  /** Waits for the pieces queued before this call; rejects with what {@link failure} is then. */
  async drain(): Promise<void> {
    const untilPiece = this.#startedPieces + this.#waiting.length;
    if (this.#settledPieces() < untilPiece) {
      await new Promise<void>((resolve) => this.#drains.push({ untilPiece, resolve }));
    }
    if (this.failure) throw this.failure;
  }

  /** Waits until nothing at all is under way, the sync beside the writes included. */
  async settle(): Promise<void> {
    try {
      await this.drain();
    } finally {
      await this.#syncs.settle();
    }
  }

  /** Goes on at `offsetBytes`; only while idle. */
  moveTo(offsetBytes: number): void {
    this.#nextOffset = offsetBytes;
  }

  /** Number of leading pieces that are written or failed. */
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
