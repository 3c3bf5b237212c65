/**
 * Crashes of a storage: the log of writes and barriers is replayed up to some point; of the writes since the
 * last barrier any subset of sectors may have reached the disk, and the file's size may lag behind.
 */
import type { StorageEvent } from './memoryStorage.ts';
import type { Random } from './random.ts';

export interface CrashModel {
  /** What lay on stable storage before the log begins. */
  readonly base: Buffer;
  readonly events: readonly StorageEvent[];
  /** Bytes that reach the disk together or not at all. */
  readonly sectorBytes: number;
  /** False for a barrier (counted from 0) that the disk only pretends to keep. */
  readonly isEffective: (barrier: number) => boolean;
  /** Random crashes come after at least so many events. @defaultValue 1 */
  readonly minEvents?: number;
}

export interface Crash {
  readonly image: Buffer;
  /** Barriers that had returned to the writer. */
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

  /** Lays the sectors of a write over the image for which `lands` is true. */
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

/** The state after every event, as if each write were on disk at once. */
export function* prefixCrashes(model: CrashModel): Generator<Crash> {
  const image = newImage(model);
  for (let count = 0; count <= model.events.length; count++) {
    const last = model.events[count - 1];
    if (last) image.apply(last, model.sectorBytes, () => true);
    const barriers = countBarriers(model.events.slice(0, count));
    yield { image: Buffer.from(image.content), barriers, title: `after ${count} events` };
  }
}

/** Events up to the last effective barrier of `events`. */
function durableCount(model: CrashModel, events: readonly StorageEvent[]): number {
  let [barrier, durable] = [0, 0];
  for (const [index, event] of events.entries()) {
    if (event.kind === 'sync' && model.isEffective(barrier++)) durable = index;
  }
  return durable;
}

/** One crash at a random point: each pending write lands whole, not at all, or in part. */
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
