/** A container of 200 GiB: memory and number of parts. */
import { expect, it } from 'vitest';
import { GIB, MIB } from '../../../../src/core/units.ts';
import { ContainerUpload } from '../../../../src/store/s3/containerUpload.ts';
import { IS_LONG_FORM } from '../../../helpers/longForm.ts';
import { FakeUploads } from '../../../helpers/s3/fakeUploads.ts';

const CONTAINER_BYTES = 200 * GIB;
const PIECE_BYTES = 32 * MIB;

/** Checksums of 200 GiB take long, so the suite has only the row that needs more memory. */
const ROWS = [
  ['not expected', undefined, 128],
  ...(IS_LONG_FORM ? ([['expected', CONTAINER_BYTES, 26]] as const) : []),
] as const;

it.each(ROWS)(
  'an upload of 200 GiB, %s, is bounded',
  async (what, expectedBytes, largestPartMiB) => {
    const fake = new FakeUploads(false);
    const { storage } = new ContainerUpload(fake, {
      key: 'vm/a.vbk',
      expectedBytes,
      retention: undefined,
      onPublished: () => {},
      withdraw: async () => {},
      onLeft: () => {},
    });
    let peakBytes = 0;
    fake.onPart = () => {
      peakBytes = Math.max(peakBytes, storage.bufferedBytes);
    };
    const piece = new Uint8Array(new SharedArrayBuffer(PIECE_BYTES));
    for (let atBytes = 0; atBytes < CONTAINER_BYTES; atBytes += 2 * PIECE_BYTES) {
      await Promise.all([
        storage.write([piece], atBytes),
        storage.write([piece], atBytes + PIECE_BYTES),
      ]);
    }
    await storage.sync();
    await storage.close();

    console.log(`${what}: peak ${peakBytes / MIB} MiB in memory, ${fake.order.length} parts`);
    expect(fake.sentBytes).toBe(CONTAINER_BYTES);
    expect(Math.max(...fake.order)).toBeLessThanOrEqual(10_000);
    expect(peakBytes).toBeLessThanOrEqual(5 * largestPartMiB * MIB);
  },
);
