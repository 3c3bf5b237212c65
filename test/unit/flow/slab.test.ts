import { describe, expect, test } from 'vitest';
import { wasm } from '../../../src/compute/kernels/wasm.ts';
import { CancelledError } from '../../../src/core/errors.ts';
import { GIB } from '../../../src/core/units.ts';
import { createSlab, type Slab, type SlabLease } from '../../../src/flow/slab.ts';
import { expectCode, expectCodeSync } from '../../helpers/codes.ts';

const SMALL_BLOCK_BYTES = 4096;

function slabOf(slotCount: number): Slab {
  return createSlab({
    blockSizeBytes: SMALL_BLOCK_BYTES,
    slabBytes: slotCount * SMALL_BLOCK_BYTES,
  });
}

function leaseOf(slab: Slab): SlabLease {
  return slab.lease('pack');
}

/** True when `promise` is settled after the callbacks that are due now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  await new Promise(setImmediate);
  return settled;
}

describe('the size of a slab', () => {
  test('never falls below one slot of each class', () => {
    const { rawCount, packedCount } = createSlab({
      blockSizeBytes: SMALL_BLOCK_BYTES,
      slabBytes: 1,
    });

    expect([rawCount, packedCount]).toEqual([1, 1]);
  });

  test('uses the budget for both classes', () => {
    const { rawCount, packedCount } = slabOf(10);

    expect([rawCount, packedCount]).toEqual([6, 4]);
  });

  test('takes no memory before the first slot', async () => {
    const { Memory } = wasm;
    let made = 0;
    class CountedMemory extends Memory {
      constructor(descriptor: ConstructorParameters<typeof Memory>[0]) {
        super(descriptor);
        made++;
      }
    }
    Object.assign(wasm, { Memory: CountedMemory });
    try {
      const lease = leaseOf(slabOf(10));
      expect(made).toBe(0);

      const slots = [await lease.acquireRaw(), await lease.acquireRaw()];
      expect(slots).toHaveLength(2);
      expect(made).toBe(1);
      lease.end();
    } finally {
      Object.assign(wasm, { Memory });
    }
  });

  test('is 64 MiB when nobody says otherwise', () => {
    const { rawCount, packedCount } = createSlab({ blockSizeBytes: 2 ** 20 });

    expect(rawCount + packedCount).toBe(64);
  });

  test('rounds slots up to whole clusters', () => {
    expect(createSlab({ blockSizeBytes: 512, slabBytes: 1 }).slotBytes).toBe(4096);
  });

  test('is refused above 2 GiB', () => {
    expectCodeSync(
      () => createSlab({ blockSizeBytes: SMALL_BLOCK_BYTES, slabBytes: 2 * GIB }),
      'USAGE_INVALID_OPTION',
    );
  });
});

describe('slots', () => {
  test('of one slab share no byte', async () => {
    const slab = slabOf(5);
    const lease = leaseOf(slab);
    const slots = await Promise.all([
      ...Array.from({ length: slab.rawCount }, () => lease.acquireRaw()),
      ...Array.from({ length: slab.packedCount }, () => lease.acquirePacked()),
    ]);

    for (const slot of slots) slot.bytes.fill(slot.slotIndex + 1);

    expect(slots.map((slot) => slot.bytes.every((byte) => byte === slot.slotIndex + 1))).toEqual(
      slots.map(() => true),
    );
  });

  test('lie in shared memory', async () => {
    const slot = await leaseOf(slabOf(2)).acquireRaw();

    expect(slot.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  test('of one class do not block the other', async () => {
    const lease = leaseOf(slabOf(2));
    await lease.acquireRaw();
    const secondRaw = lease.acquireRaw();

    const packed = await lease.acquirePacked();

    expect(packed.slotClass).toBe('packed');
    expect(await isSettled(secondRaw)).toBe(false);
  });

  test('are counted while they are out', async () => {
    const slab = slabOf(5);
    const lease = leaseOf(slab);
    const raw = await lease.acquireRaw();
    await lease.acquirePacked();

    raw.release();

    expect(slab.inUseCount).toBe(1);
  });

  test('refuse a second release', async () => {
    const slot = await leaseOf(slabOf(2)).acquireRaw();
    slot.release();

    expectCodeSync(() => slot.release(), 'INTERNAL_INVARIANT');
  });

  test('refuse use after release', async () => {
    const slot = await leaseOf(slabOf(2)).acquireRaw();
    slot.release();

    expectCodeSync(() => slot.bytes, 'INTERNAL_INVARIANT');
  });

  test('refuse the old handle after the place was given to somebody else', async () => {
    const lease = leaseOf(slabOf(2));
    const old = await lease.acquireRaw();
    old.release();
    const next = await lease.acquireRaw();

    expectCodeSync(() => old.release(), 'INTERNAL_INVARIANT');
    expect(next.slotIndex).toBe(old.slotIndex);
  });
});

describe('waiting for a slot', () => {
  test('is served in the order of the calls', async () => {
    const lease = leaseOf(slabOf(2));
    const held = await lease.acquireRaw();
    const served: number[] = [];
    const waiting = [1, 2, 3].map(async (caller) => {
      const slot = await lease.acquireRaw();
      served.push(caller);
      slot.release();
    });

    held.release();
    await Promise.all(waiting);

    expect(served).toEqual([1, 2, 3]);
  });

  test('is served in order over several leases', async () => {
    const slab = slabOf(2);
    const held = await leaseOf(slab).acquireRaw();
    const first = leaseOf(slab).acquireRaw();
    const second = leaseOf(slab).acquireRaw();

    held.release();

    expect(await isSettled(first)).toBe(true);
    expect(await isSettled(second)).toBe(false);
  });

  test('ends with the reason of an abort', async () => {
    const controller = new AbortController();
    const lease = leaseOf(slabOf(2));
    await Promise.all([lease.acquireRaw(), lease.acquirePacked()]);
    const { signal } = controller;
    const waiting = [lease.acquireRaw(signal), lease.acquirePacked(signal)];

    controller.abort(new CancelledError('CANCELLED', 'stop'));

    for (const waiter of waiting) await expectCode(waiter, 'CANCELLED');
  });

  test('is refused after an abort', async () => {
    const aborted = AbortSignal.abort(new CancelledError('CANCELLED', 'stop'));
    const lease = leaseOf(slabOf(2));

    await expectCode(lease.acquireRaw(aborted), 'CANCELLED');
    await expectCode(lease.acquirePacked(aborted), 'CANCELLED');
  });

  test('of another signal survives an abort', async () => {
    const slab = slabOf(2);
    const controller = new AbortController();
    const held = await leaseOf(slab).acquireRaw();
    const aborted = leaseOf(slab).acquireRaw(controller.signal);
    const other = leaseOf(slab).acquireRaw();

    controller.abort(new CancelledError('CANCELLED', 'stop'));
    held.release();

    await expectCode(aborted, 'CANCELLED');
    expect((await other).slotClass).toBe('raw');
  });
});

describe('the direction of a lease', () => {
  test.each([
    ['pack', 'unpack'],
    ['unpack', 'pack'],
  ] as const)('is that of all leases of a slab at one time: no %s with %s', (first, second) => {
    const slab = slabOf(2);
    slab.lease(first);
    slab.lease(first).end();

    expectCodeSync(() => slab.lease(second), 'INTERNAL_INVARIANT');
    expect(slab.lease(first).direction).toBe(first);
  });

  test('may be another one when all leases have ended', async () => {
    const slab = slabOf(2);
    const leases = [slab.lease('pack'), slab.lease('pack')];
    for (const lease of leases) lease.end();

    const lease = slab.lease('unpack');

    expect((await lease.acquirePacked()).slotClass).toBe('packed');
    expectCodeSync(() => slab.lease('pack'), 'INTERNAL_INVARIANT');
  });
});

describe('the end of a lease', () => {
  test('gives back what is still out and says how much', async () => {
    const slab = slabOf(5);
    const lease = leaseOf(slab);
    await lease.acquireRaw();
    await lease.acquirePacked();

    const lost = lease.end();

    expect([lost, slab.inUseCount]).toEqual([2, 0]);
  });

  test('finds nothing when all slots were released', async () => {
    const lease = leaseOf(slabOf(5));
    (await lease.acquireRaw()).release();

    expect(lease.end()).toBe(0);
  });

  test('leaves the slots of other leases alone', async () => {
    const slab = slabOf(5);
    const other = leaseOf(slab);
    const slot = await other.acquireRaw();

    leaseOf(slab).end();

    expect(slab.inUseCount).toBe(1);
    expect(slot.bytes.length).toBe(SMALL_BLOCK_BYTES);
  });

  test('makes slots that it takes back unusable for their former owner', async () => {
    const lease = leaseOf(slabOf(2));
    const slot = await lease.acquireRaw();

    lease.end();

    expectCodeSync(() => slot.bytes, 'INTERNAL_INVARIANT');
  });

  test('hands taken slots to the waiters of other leases', async () => {
    const slab = slabOf(2);
    const lease = leaseOf(slab);
    await lease.acquireRaw();
    const waiting = leaseOf(slab).acquireRaw();

    lease.end();

    expect((await waiting).slotClass).toBe('raw');
  });

  test('rejects its own waiters', async () => {
    const lease = leaseOf(slabOf(2));
    await lease.acquireRaw();
    const waiting = lease.acquireRaw();

    const failed = expectCode(waiting, 'INTERNAL_INVARIANT');
    lease.end();

    await failed;
  });

  test('gives out no slot any more', async () => {
    const slab = slabOf(2);
    const lease = leaseOf(slab);
    lease.end();

    await expectCode(lease.acquireRaw(), 'INTERNAL_INVARIANT');
    expect(slab.inUseCount).toBe(0);
  });
});
