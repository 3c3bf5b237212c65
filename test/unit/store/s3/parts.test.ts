/** Sizes of parts, and the bytes of one part. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GIB, MIB, TIB } from '../../../../src/core/units.ts';
import { MAX_PARTS, Part, PartPlan } from '../../../../src/store/s3/parts.ts';

/** Bytes that all parts of a plan take. */
function capacityOf(plan: PartPlan): number {
  let bytes = 0;
  for (let part = 1; part <= MAX_PARTS; part++) bytes += plan.sizeOf(part);
  return bytes;
}

describe('PartPlan', () => {
  it.each([
    [undefined, 8 * MIB],
    [0, 8 * MIB],
    [62 * GIB, 8 * MIB],
    [63 * GIB, 9 * MIB],
    [200 * GIB, 26 * MIB],
    [64 * TIB, 5 * GIB],
  ])('for %s expected bytes begins with parts of %i B', (expectedBytes, partBytes) => {
    expect(new PartPlan(expectedBytes).sizeOf(1)).toBe(partBytes);
  });

  it('holds three times the expectation, and 200 GiB without one', () => {
    for (const expectedBytes of [100 * GIB, TIB]) {
      const plan = new PartPlan(expectedBytes);
      expect(plan.partAt(expectedBytes).part).toBeLessThanOrEqual(8000);
      expect(capacityOf(plan)).toBeGreaterThan(3 * expectedBytes);
    }
    expect(capacityOf(new PartPlan())).toBeGreaterThan(200 * GIB);
  });

  it('finds the part of each offset', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3 * TIB }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (expectedBytes, share) => {
          const plan = new PartPlan(expectedBytes);
          const offsetBytes = Math.floor(share * (capacityOf(plan) - 1));
          const { part, startBytes } = plan.partAt(offsetBytes);
          let wanted = 0;
          for (let before = 1; before < part; before++) wanted += plan.sizeOf(before);
          expect(startBytes).toBe(wanted);
          expect(offsetBytes).toBeGreaterThanOrEqual(startBytes);
          expect(offsetBytes).toBeLessThan(startBytes + plan.sizeOf(part));
        },
      ),
      { numRuns: 50 },
    );
  });

  it('refuses a container of more than 10,000 parts', () => {
    const plan = new PartPlan();
    const endBytes = capacityOf(plan);

    expect(plan.partAt(endBytes - 1).part).toBe(MAX_PARTS);
    expect(() => plan.partAt(endBytes)).toThrow(
      expect.objectContaining({ code: 'REPOSITORY_FULL' }) as Error,
    );
  });
});

describe('Part', () => {
  it('is full when all its bytes came, in any order', () => {
    const part = new Part(2, 100, 10);
    const taken = [part.write(Buffer.from('cdef'), 102), part.write(Buffer.from('ghijXX'), 106)];
    expect([part.isFull, ...taken]).toEqual([false, 4, 4]);

    expect(part.write(Buffer.from('ab'), 100)).toBe(2);

    expect(part.isFull).toBe(true);
    expect(part.finish(10).toString()).toBe('abcdefghij');
  });

  it('has zeros where nothing was written, also in memory that was used before', () => {
    const part = new Part(2, 0, 8, Buffer.alloc(8, 7));
    part.write(Buffer.from('b'), 1);
    part.write(Buffer.from('e'), 4);

    expect(part.finish(6)).toEqual(Buffer.from('\0b\0\0e\0'));
  });

  it('gives what was written, for any writes', () => {
    const write = fc.record({ atBytes: fc.nat(31), lengthBytes: fc.integer({ min: 1, max: 32 }) });
    fc.assert(
      fc.property(fc.array(write), (writes) => {
        const part = new Part(1, 0, 32, Buffer.alloc(32, 255));
        const wanted = Buffer.alloc(32);
        writes.forEach(({ atBytes, lengthBytes }, k) => {
          part.write(Buffer.alloc(lengthBytes, k + 1), atBytes);
          wanted.fill(k + 1, atBytes, Math.min(32, atBytes + lengthBytes));
        });
        expect(part.isFull).toBe(!wanted.includes(0));
        expect(part.finish(32)).toEqual(wanted);
      }),
    );
  });
});
