/**
 * A bounded cache of expanded blocks. The least recently used one leaves first. Its room is used
 * again when no reader holds it. New memory for each block would cost more than its copy.
 */
import { MIB } from '../core/units.ts';

/** Free room that is kept. */
const MAX_FREE_BYTES = 16 * MIB;

/** A block that a reader holds. */
export interface HeldBlock {
  /** Nobody may change them. They stay valid until {@link release}. */
  readonly bytes: Buffer;
  release(): void;
}

/** Gives the memory for a block. A load calls it when it has the bytes, and not before. */
export type TakeRoom = () => Buffer;

interface Entry {
  /** Undefined until the load has taken it. */
  room: Buffer | undefined;
  readonly loaded: Promise<Buffer>;
  /** Readers that hold the block or wait for it. */
  readers: number;
  /** Bytes that count as cached: none while the block is loaded. */
  cachedBytes: number;
}

export class BlockCache {
  readonly maxBytes: number;
  /** Ordered by use; the least recently used entry is first. */
  readonly #entries = new Map<string, Entry>();
  #cachedBytes = 0;
  readonly #free: Buffer[] = [];
  #freeBytes = 0;

  /** @param maxBytes - bytes of all blocks that are kept. Less than one block keeps nothing. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /**
   * The cached block, or the one that `load` gives. Readers of one block share a load. A load that
   * fails is not kept. Any number of loads may wait for their turn, so they have no memory then.
   *
   * @param load - fills the room, which has `roomBytes`, with the block.
   */
  async hold(
    key: string,
    roomBytes: number,
    load: (takeRoom: TakeRoom) => Promise<void>,
  ): Promise<HeldBlock> {
    const entry = this.#take(key) ?? this.#add(key, roomBytes, load);
    let bytes: Buffer;
    try {
      bytes = await entry.loaded;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      this.#release(key, entry);
      throw error;
    }
    let isHeld = true;
    const release = (): void => {
      if (isHeld) this.#release(key, entry);
      isHeld = false;
    };
    return { bytes, release };
  }

  /** A known entry, which becomes the most recently used one. */
  #take(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.readers++;
    return entry;
  }

  #add(key: string, roomBytes: number, load: (takeRoom: TakeRoom) => Promise<void>): Entry {
    const takeRoom = (): Buffer => (entry.room ??= this.#roomOf(roomBytes));
    const run = async (): Promise<Buffer> => {
      await load(takeRoom);
      this.#keep(entry);
      return takeRoom();
    };
    const entry: Entry = {
      room: undefined,
      loaded: Promise.resolve().then(run),
      readers: 1,
      cachedBytes: 0,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #keep(entry: Entry): void {
    entry.cachedBytes = entry.room?.length ?? 0;
    this.#cachedBytes += entry.cachedBytes;
    for (const [oldest, other] of this.#entries) {
      if (this.#cachedBytes <= this.maxBytes) break;
      if (other.cachedBytes > 0) this.#remove(oldest, other);
    }
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#cachedBytes -= entry.cachedBytes;
    if (entry.readers === 0) this.#giveBack(entry);
  }

  #release(key: string, entry: Entry): void {
    entry.readers--;
    if (entry.readers === 0 && this.#entries.get(key) !== entry) this.#giveBack(entry);
  }

  #roomOf(roomBytes: number): Buffer {
    const at = this.#free.findIndex((room) => room.length === roomBytes);
    const room = at >= 0 ? this.#free.splice(at, 1)[0] : undefined;
    if (room) this.#freeBytes -= roomBytes;
    return room ?? Buffer.allocUnsafeSlow(roomBytes);
  }

  #giveBack({ room }: Entry): void {
    if (!room || this.#freeBytes + room.length > MAX_FREE_BYTES) return;
    this.#free.push(room);
    this.#freeBytes += room.length;
  }
}
