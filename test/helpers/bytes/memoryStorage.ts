/** A container's file in memory, and crashes simulated from its log of writes and barriers. */
import type { Storage } from '../../../src/store/storage.ts';
import { FormatError } from '../../../src/core/errors.ts';
import type { Random } from './random.ts';

export type StorageEvent =
  | { readonly kind: 'write'; readonly offsetBytes: number; readonly bytes: Buffer }
  | { readonly kind: 'sync' };

export class MemoryStorage implements Storage {
  readonly name: string;
  readonly canReadBack: boolean = true;
  readonly events: StorageEvent[] = [];
  isClosed = false;
  #bytes: Buffer;
  #sizeBytes: number;

  /** @param content - copied. */
  constructor(content: Uint8Array = new Uint8Array(0), name = 'memory.vbk') {
    this.name = name;
    this.#bytes = Buffer.from(content);
    this.#sizeBytes = content.length;
  }

  /** The file as it is now; a view. */
  get content(): Buffer {
    return this.#bytes.subarray(0, this.#sizeBytes);
  }

  async sizeBytes(): Promise<number> {
    return this.#sizeBytes;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    if (offsetBytes + target.length > this.#sizeBytes) {
      throw new FormatError('FORMAT_TRUNCATED', `${this.name}: ends inside a read`);
    }
    target.set(this.#bytes.subarray(offsetBytes, offsetBytes + target.length));
  }

  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const bytes = Buffer.concat(pieces);
    this.events.push({ kind: 'write', offsetBytes, bytes });
    this.#grow(offsetBytes + bytes.length);
    bytes.copy(this.#bytes, offsetBytes);
  }

  async sync(): Promise<void> {
    this.events.push({ kind: 'sync' });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  #grow(sizeBytes: number): void {
    if (sizeBytes > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(sizeBytes, 2 * this.#bytes.length));
      this.content.copy(larger);
      this.#bytes = larger;
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes);
  }
}

export interface CrashModel {
  /** Content of stable storage before the first event. */
  readonly base: Buffer;
  readonly events: readonly StorageEvent[];
  /** Bytes that reach the disk together or not at all. */
  readonly sectorBytes: number;
  /** False for a barrier (counted from 0) that the disk acknowledges and ignores. */
  readonly isEffective: (barrier: number) => boolean;
  /** Fewest events before a random crash. @defaultValue 1 */
  readonly minEvents?: number;
}

export interface Crash {
  readonly image: Buffer;
  /** Barriers that the disk had acknowledged. */
  readonly barriers: number;
  readonly title: string;
}

class Image {
  readonly #bytes: Buffer;
  #sizeBytes: number;

  constructor(base: Buffer, maxBytes: number) {
    this.#bytes = Buffer.alloc(maxBytes);
    this.#sizeBytes = base.copy(this.#bytes);
  }

  extend(sizeBytes: number): void {
    this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes);
  }

  /** Writes the sectors for which `lands` is true. */
  apply(event: StorageEvent, sectorBytes: number, lands: () => boolean): void {
    if (event.kind === 'sync') return;
    const { offsetBytes, bytes } = event;
    for (let at = 0, end = 0; at < bytes.length; at = end) {
      end = Math.min(bytes.length, at + sectorBytes - ((offsetBytes + at) % sectorBytes));
      if (!lands()) continue;
      bytes.copy(this.#bytes, offsetBytes + at, at, end);
      this.extend(offsetBytes + end);
    }
  }

  get content(): Buffer {
    return this.#bytes.subarray(0, this.#sizeBytes);
  }
}

function endOf(event: StorageEvent): number {
  return event.kind === 'write' ? event.offsetBytes + event.bytes.length : 0;
}

function newImage(model: CrashModel): Image {
  return new Image(model.base, Math.max(model.base.length, ...model.events.map(endOf)));
}

function countBarriers(events: readonly StorageEvent[]): number {
  return events.filter((event) => event.kind === 'sync').length;
}

/** Crashes after every number of events, with all writes so far on disk. */
export function* prefixCrashes(model: CrashModel): Generator<Crash> {
  const image = newImage(model);
  for (let count = 0; count <= model.events.length; count++) {
    const last = model.events[count - 1];
    if (last) image.apply(last, model.sectorBytes, () => true);
    const barriers = countBarriers(model.events.slice(0, count));
    yield { image: Buffer.from(image.content), barriers, title: `after ${count} events` };
  }
}

/** Number of events before the last effective barrier. */
function durableCount(model: CrashModel, events: readonly StorageEvent[]): number {
  let [barrier, durable] = [0, 0];
  for (const [index, event] of events.entries()) {
    if (event.kind === 'sync' && model.isEffective(barrier++)) durable = index;
  }
  return durable;
}

/**
 * A crash after a random number of events. Of the writes since the last effective barrier each
 * lands whole, not at all, or with some of its sectors. The file may be as long as if all had
 * landed.
 */
export function randomCrash(model: CrashModel, random: Random, title: string): Crash {
  const { minEvents = 1 } = model;
  const count = minEvents + random.below(model.events.length + 1 - minEvents);
  const events = model.events.slice(0, count);
  const durable = durableCount(model, events);
  const image = newImage(model);
  for (const [index, event] of events.entries()) {
    const mode = index < durable ? 0 : random.below(3);
    image.apply(
      event,
      model.sectorBytes,
      () => mode === 0 || (mode === 2 && random.below(2) === 0),
    );
  }
  if (random.below(2) === 0) image.extend(Math.max(...events.map(endOf)));
  const barriers = countBarriers(events);
  return { image: image.content, barriers, title: `${title}, after ${events.length} events` };
}
