/**
 * The slab: all slots for the block bytes of a session, in shared memory, in two classes.
 *
 * Raw slots hold plain blocks, packed slots hold stored forms. A slot has exactly one owner.
 * Passing its record on passes the slot.
 *
 * A block takes its two slots in the order of the {@link SlabDirection}. The owner of the first
 * slot waits at most for the second. The owner of the second waits for no slot. So one slot of each
 * class is enough to finish every chain. This holds only while all chains have the same direction.
 * Otherwise two blocks could each hold the slot that the other one waits for.
 *
 * The memory is a shared `WebAssembly.Memory`, so that worker threads and wasm kernels see the same
 * bytes.
 */
import { InternalError, invariant, UsageError } from '../core/errors.ts';
import { MIB, roundUp } from '../core/units.ts';
import { RESULT_BYTES } from '../compute/resultRecord.ts';
import { type SharedWasmMemory, wasm } from '../compute/kernels/wasm.ts';

const WASM_PAGE_BYTES = 65_536;
const SLOT_ALIGN_BYTES = 4096;
const MAX_SLAB_BYTES = 2048 * MIB;
/** Part of the budget for raw slots: blocks wait longer before the compressor than after it. */
const RAW_SHARE = 0.6;

export type SlotClass = 'raw' | 'packed';

/**
 * The order in which a chain takes the two slots of a block.
 *
 * - `pack`: first raw, then packed. A backup reads into a raw slot and compresses into a packed
 *   one.
 * - `unpack`: first packed, then raw. Restore, verify and merge read stored bytes into a packed
 *   slot and expand them into a raw one.
 */
export type SlabDirection = 'pack' | 'unpack';

/**
 * One acquired slot. Using it after `release` throws `INTERNAL_INVARIANT`. Its members are not in
 * the published types, because `bytesOf` and `releaseSlot` are enough for a stage or a sink.
 */
export class Slot {
  /** @internal */
  readonly slotClass: SlotClass;
  /**
   * Position within all slots of the slab; also that of the slot's result record.
   *
   * @internal
   */
  readonly slotIndex: number;
  readonly #bytes: Buffer;
  readonly #onRelease: (slot: Slot) => void;
  #released = false;

  /** @internal */
  constructor(
    slotClass: SlotClass,
    slotIndex: number,
    bytes: Buffer,
    onRelease: (slot: Slot) => void,
  ) {
    this.slotClass = slotClass;
    this.slotIndex = slotIndex;
    this.#bytes = bytes;
    this.#onRelease = onRelease;
  }

  /**
   * The bytes of the slot (whole slot; shared memory).
   *
   * @internal
   */
  get bytes(): Buffer {
    if (this.#released) throw new InternalError('INTERNAL_INVARIANT', 'slot used after release');
    return this.#bytes;
  }

  /** @internal */
  release(): void {
    if (this.#released) throw new InternalError('INTERNAL_INVARIANT', 'slot released twice');
    this.#released = true;
    this.#onRelease(this);
  }
}

interface Waiter {
  readonly lease: SlabLease;
  readonly resolve: (slot: Slot) => void;
  readonly reject: (reason: unknown) => void;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: () => void;
}

/** Slots of one class: a list of free ones, and waiters that are served in order. */
class Arena {
  readonly #slotClass: SlotClass;
  readonly #count: number;
  readonly #viewOf: (slotIndex: number) => Buffer;
  /** Indexes of free slots of the slab. */
  readonly #free: number[];
  #waiters: Waiter[] = [];

  /** @param viewOf - gives the bytes of a slot of the slab. */
  constructor(
    slotClass: SlotClass,
    firstIndex: number,
    count: number,
    viewOf: (slotIndex: number) => Buffer,
  ) {
    this.#slotClass = slotClass;
    this.#count = count;
    this.#viewOf = viewOf;
    this.#free = Array.from({ length: count }, (_, k) => firstIndex + count - 1 - k);
  }

  get inUseCount(): number {
    return this.#count - this.#free.length;
  }

  acquire(lease: SlabLease, signal: AbortSignal | undefined): Promise<Slot> {
    if (this.#free.length > 0 && this.#waiters.length === 0) {
      return Promise.resolve(this.#take(lease));
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.#reject((other) => other === waiter, signal?.reason);
      const waiter: Waiter = { lease, resolve, reject, signal, onAbort };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  rejectWaiters(lease: SlabLease, reason: unknown): void {
    this.#reject((waiter) => waiter.lease === lease, reason);
  }

  #reject(isMeant: (waiter: Waiter) => boolean, reason: unknown): void {
    const meant = this.#waiters.filter(isMeant);
    this.#waiters = this.#waiters.filter((waiter) => !isMeant(waiter));
    for (const waiter of meant) {
      waiter.signal?.removeEventListener('abort', waiter.onAbort);
      waiter.reject(reason);
    }
  }

  #take(lease: SlabLease): Slot {
    const index = this.#free.pop();
    invariant(index !== undefined, 'no free slot');
    const slot = new Slot(this.#slotClass, index, this.#viewOf(index), (released) => {
      lease.forget(released);
      this.#free.push(index);
      this.#serve();
    });
    lease.remember(slot);
    return slot;
  }

  #serve(): void {
    if (this.#free.length === 0) return;
    const waiter = this.#waiters.shift();
    if (!waiter) return;
    waiter.signal?.removeEventListener('abort', waiter.onAbort);
    waiter.resolve(this.#take(waiter.lease));
  }
}

/**
 * One chain's right to slots. Several leases of one direction share a slab. Ending a lease gives
 * back the slots that its chain lost in stream buffers when it was torn down.
 *
 * A stage takes the lease of its direction, so a compressor on the lease of a restore does not
 * compile. `SlabLease` without a direction can give out slots, but no stage takes it.
 */
export class SlabLease<Direction extends SlabDirection = SlabDirection> {
  readonly direction: Direction;
  readonly #raw: Arena;
  readonly #packed: Arena;
  readonly #onEnd: () => void;
  readonly #outstanding = new Set<Slot>();
  #ended = false;

  constructor(
    direction: Direction,
    arenas: { readonly raw: Arena; readonly packed: Arena },
    onEnd: () => void,
  ) {
    this.direction = direction;
    this.#raw = arenas.raw;
    this.#packed = arenas.packed;
    this.#onEnd = onEnd;
  }

  /**
   * Waits for a raw slot. Waiters of all leases are served in the order of their calls. Rejects
   * with the reason of `signal` when that is aborted, and with `INTERNAL_INVARIANT` when the lease
   * ends.
   */
  async acquireRaw(signal?: AbortSignal): Promise<Slot> {
    return await this.#acquire(this.#raw, signal);
  }

  /** Waits for a packed slot, as {@link acquireRaw} does for a raw one. */
  async acquirePacked(signal?: AbortSignal): Promise<Slot> {
    return await this.#acquire(this.#packed, signal);
  }

  remember(slot: Slot): void {
    this.#outstanding.add(slot);
  }

  forget(slot: Slot): void {
    this.#outstanding.delete(slot);
  }

  /**
   * Gives up a slot that somebody outside still reads. {@link end} does not take it back, so no
   * other block gets it until its `release`.
   */
  disown(slot: Slot): void {
    this.#outstanding.delete(slot);
  }

  /**
   * Takes back every slot that is still out. Call it only when all streams of the chain are closed
   * and no worker has a job of the chain. Otherwise they would use slots of the next owner.
   *
   * @returns how many slots were still out; 0 after a chain that succeeded.
   */
  end(): number {
    this.#ended = true;
    const reason = new InternalError('INTERNAL_INVARIANT', 'the slab lease has ended');
    this.#raw.rejectWaiters(this, reason);
    this.#packed.rejectWaiters(this, reason);
    const lost = [...this.#outstanding];
    for (const slot of lost) slot.release();
    this.#onEnd();
    return lost.length;
  }

  async #acquire(arena: Arena, signal: AbortSignal | undefined): Promise<Slot> {
    signal?.throwIfAborted();
    invariant(!this.#ended, 'slot asked for after the slab lease has ended');
    return await arena.acquire(this, signal);
  }
}

export interface SlabOptions {
  /** Largest block that a slot must hold; multiple of 512. */
  readonly blockSizeBytes: number;
  /** Memory budget for all slots. @defaultValue 64 MiB; at least one slot of each class is made. */
  readonly slabBytes?: number | undefined;
}

export class Slab {
  readonly blockSizeBytes: number;
  readonly rawCount: number;
  readonly packedCount: number;
  readonly slotBytes: number;
  readonly #raw: Arena;
  readonly #packed: Arena;
  readonly #openLeases = new Set<SlabLease>();
  readonly #pages: number;
  readonly #views: (Buffer | undefined)[] = [];
  readonly #firstSlotOffset: number;
  #memory: SharedWasmMemory | undefined;

  constructor(options: SlabOptions) {
    const { blockSizeBytes, slabBytes = 64 * MIB } = options;
    this.blockSizeBytes = blockSizeBytes;
    this.slotBytes = roundUp(blockSizeBytes, SLOT_ALIGN_BYTES);
    const total = Math.max(2, Math.floor(slabBytes / this.slotBytes));
    this.rawCount = Math.min(total - 1, Math.ceil(total * RAW_SHARE));
    this.packedCount = total - this.rawCount;
    const resultBytes = roundUp(total * RESULT_BYTES, SLOT_ALIGN_BYTES);
    const bytes = resultBytes + total * this.slotBytes;
    if (bytes > MAX_SLAB_BYTES) {
      throw new UsageError('USAGE_INVALID_OPTION', `slabBytes: ${slabBytes} is above 2 GiB`);
    }
    this.#pages = Math.ceil(bytes / WASM_PAGE_BYTES);
    this.#firstSlotOffset = resultBytes;
    const viewOf = (slotIndex: number): Buffer => this.#viewOf(slotIndex);
    this.#raw = new Arena('raw', 0, this.rawCount, viewOf);
    this.#packed = new Arena('packed', this.rawCount, this.packedCount, viewOf);
  }

  /** Made for the first slot or thread: many sessions read no block. */
  get memory(): SharedWasmMemory {
    const pages = this.#pages;
    this.#memory ??= new wasm.Memory({ initial: pages, maximum: pages, shared: true });
    return this.#memory;
  }

  #viewOf(slotIndex: number): Buffer {
    const offset = this.#firstSlotOffset + slotIndex * this.slotBytes;
    this.#views[slotIndex] ??= Buffer.from(this.memory.buffer, offset, this.slotBytes);
    return this.#views[slotIndex];
  }

  /** Slots that are out now, over all leases. */
  get inUseCount(): number {
    return this.#raw.inUseCount + this.#packed.inUseCount;
  }

  /**
   * Opens a lease for one chain.
   *
   * @throws {@link InternalError} `INTERNAL_INVARIANT` while a lease of the other direction is open
   */
  lease<Direction extends SlabDirection>(direction: Direction): SlabLease<Direction> {
    for (const open of this.#openLeases) {
      invariant(open.direction === direction, `a lease to ${open.direction} uses the slab`);
    }
    const arenas = { raw: this.#raw, packed: this.#packed };
    const lease = new SlabLease(direction, arenas, () => this.#openLeases.delete(lease));
    this.#openLeases.add(lease);
    return lease;
  }
}

/**
 * Makes the slab of a session. Memory: `slabBytes`, whatever the size of the disks.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export function createSlab(options: SlabOptions): Slab {
  return new Slab(options);
}
