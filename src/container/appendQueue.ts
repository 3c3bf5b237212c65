/**
 * Sequential appends to a container with few, large writes: pieces that arrive while writes are under way
 * go out together in one vectored write. Two writes at most are in flight, so that the thread pool of
 * libuv stays free for reads.
 */
import { BusyClock, type StageStats } from '../core/stats.ts';
import type { Storage } from './storage.ts';

const MAX_WRITES = 2;
const MAX_PIECES = 32;

interface Piece {
  readonly bytes: Uint8Array;
  readonly onWritten: () => void;
}

export class AppendQueue {
  readonly #storage: Storage;
  readonly #clock: BusyClock;
  readonly #stats: StageStats;
  #pieces: Piece[] = [];
  #nextOffset: number;
  #inFlight = 0;
  #failure: Error | undefined;
  #idle: (() => void)[] = [];

  constructor(storage: Storage, startBytes: number, stats: StageStats) {
    this.#storage = storage;
    this.#nextOffset = startBytes;
    this.#stats = stats;
    this.#clock = new BusyClock(stats);
  }

  /** The first error of a write; every later append is pointless. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Queues `bytes` behind everything queued before. `onWritten` runs once, also after a failed write. */
  push(bytes: Uint8Array, onWritten: () => void): void {
    this.#pieces.push({ bytes, onWritten });
    this.#pump();
  }

  /** Waits until nothing is queued or in flight; rejects with the first write error. */
  async drain(): Promise<void> {
    if (this.#inFlight > 0 || this.#pieces.length > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
    if (this.#failure) throw this.#failure;
  }

  /** Goes on at `offsetBytes`; only while idle. */
  moveTo(offsetBytes: number): void {
    this.#nextOffset = offsetBytes;
  }

  #pump(): void {
    while (this.#inFlight < MAX_WRITES && this.#pieces.length > 0) {
      const batch = this.#pieces.splice(0, MAX_PIECES);
      const offsetBytes = this.#nextOffset;
      this.#nextOffset += batch.reduce((sum, piece) => sum + piece.bytes.length, 0);
      this.#inFlight++;
      void this.#write(batch, offsetBytes);
    }
    if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #write(batch: readonly Piece[], offsetBytes: number): Promise<void> {
    try {
      if (!this.#failure) {
        const pieces = batch.map((piece) => piece.bytes);
        await this.#clock.time(() => this.#storage.write(pieces, offsetBytes));
        this.#stats.blocks += batch.length;
        this.#stats.bytes += this.#sizeOf(pieces);
      }
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#inFlight--;
    for (const piece of batch) piece.onWritten();
    this.#pump();
  }

  #sizeOf(pieces: readonly Uint8Array[]): number {
    return pieces.reduce((sum, piece) => sum + piece.length, 0);
  }
}
