import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect } from '../../../src/flow/connect.ts';
import type { DataBlock, ZeroRun } from '../../../src/flow/records.ts';
import { callbackSink } from '../../../src/flow/sinks/plainSinks.ts';
import { createSlab, type Slab, type SlabLease } from '../../../src/flow/slab.ts';
import { callbackStage } from '../../../src/flow/stages/callbackStage.ts';
import { expectCode } from '../../helpers/codes.ts';
import { PICTURE_BLOCK_BYTES } from '../../helpers/pipeline/diskPicture.ts';
import { readerRecords, sourceOf } from '../../helpers/pipeline/records.ts';

type Read = DataBlock | ZeroRun;

let slab: Slab;
let lease: SlabLease;

beforeEach(() => {
  // More blocks than slots pass: a slot that is not given back ends in a chain that waits for ever.
  slab = createSlab({ blockSizeBytes: PICTURE_BLOCK_BYTES, slabBytes: 2 * PICTURE_BLOCK_BYTES });
  lease = slab.lease('pack');
});

afterEach(() => {
  lease.end();
});

/** Sends the disk `AB0CD` through a stage. @returns what comes out, as text. */
async function run<Out extends object>(
  work: Parameters<typeof callbackStage<Read, Out>>[0],
  describeRecord: (record: Out) => unknown,
): Promise<unknown[]> {
  const out: unknown[] = [];
  const sink = callbackSink<Out>((record) => {
    out.push(describeRecord(record));
  });
  const source = sourceOf(readerRecords(lease, 'AB0CD'));
  await connect(source, [callbackStage(work)], sink);
  return out;
}

describe('callbackStage', () => {
  test('passes records on with their slots', async () => {
    const out = await run(
      (record) => record,
      (record) => record.kind,
    );

    expect(out).toEqual(['data', 'data', 'zero', 'data', 'data']);
    expect(slab.inUseCount).toBe(0);
  });

  test('gives back the slot of a record that is dropped', async () => {
    const out = await run(
      (record) => (record.index % 2 === 0 ? record : undefined),
      (record) => record.index,
    );

    expect(out).toEqual([0, 2, 4]);
    expect(slab.inUseCount).toBe(0);
  });

  test('gives back the slot of a record that another one replaces', async () => {
    const out = await run(
      async ({ index }) => await Promise.resolve({ kind: 'own', index }),
      (record) => record.index,
    );

    expect(out).toEqual([0, 1, 2, 3, 4]);
    expect(slab.inUseCount).toBe(0);
  });

  test('leaves the slot to a record of another kind that carries it', async () => {
    const out = await run(
      (record) => ({ ...record, kind: 'own' }),
      (record) => record.kind,
    );

    expect(out).toEqual(['own', 'own', 'own', 'own', 'own']);
    expect(slab.inUseCount).toBe(0);
  });

  test('ends the chain with the error of the function, and gives its slot back', async () => {
    const inUse: number[] = [];
    const failing = run(
      (record) => {
        inUse.push(slab.inUseCount);
        if (record.index === 1) throw new Error('the function failed');
        return record;
      },
      () => undefined,
    );

    await expect(failing).rejects.toThrow('the function failed');
    expect(inUse[0]).toBeGreaterThan(0);
    expect(lease.end()).toBeLessThanOrEqual(1);
  });

  test('aborts the signal of a function that waits when the chain ends early', async () => {
    const stop = new AbortController();
    const waiting = callbackStage<Read, Read>(async (_record, signal) => {
      setImmediate(() => stop.abort());
      await once(signal, 'abort');
      return undefined;
    });
    const chain = connect(
      sourceOf(readerRecords(lease, 'A')),
      [waiting],
      callbackSink(() => {}),
      { signal: stop.signal },
    );

    await expectCode(chain, 'CANCELLED');
    expect(slab.inUseCount).toBe(0);
  });
});
