import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { createMemoryDevice } from '../../../src/devices/memoryDevice.ts';
import { openRawImage } from '../../../src/devices/rawImageDevice.ts';
import { FingerprintMap } from '../../../src/flow/fingerprintMap.ts';
import type { BlockDevice } from '../../../src/flow/records.ts';
import { bytesOf } from '../../../src/flow/sinks/blockSink.ts';
import { callbackSink, nullSink } from '../../../src/flow/sinks/plainSinks.ts';
import { createPipeline, type Pipeline } from '../../../src/sessions/pipe/pipeline.ts';
import type { ComparedRecord } from '../../../src/sessions/shared/diskChain.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { expectCode, expectCodeSync } from '../../helpers/codes.ts';
import { tempFolderOfTest } from '../../helpers/tempFolder.ts';

const CONTENT = Buffer.concat([noise(1, MIB), Buffer.alloc(MIB), noise(2, MIB), noise(3, 999)]);

let pipeline: Pipeline;

beforeEach(async () => {
  pipeline = await createPipeline({ workers: 0 });
});

afterEach(async () => {
  await pipeline.close();
});

function memory(content: Uint8Array = CONTENT): BlockDevice {
  return createMemoryDevice({ content });
}

/** A sink that takes each record down as `kind offset`, and the fingerprints of the blocks. */
function recorder(known: FingerprintMap = new FingerprintMap()) {
  const lines: string[] = [];
  const sink = callbackSink<ComparedRecord>((record) => {
    lines.push(`${record.kind} ${record.offsetBytes / MIB}`);
    if (record.kind === 'hashed') known.set(record.index, record.fingerprint);
  });
  return { lines, sink, known };
}

function imageOf(content: Uint8Array): string {
  const file = `${tempFolderOfTest()}/disk.raw`;
  writeFileSync(file, content);
  return file;
}

describe('a pipeline', () => {
  test('passes the plain bytes of each block', async () => {
    const disk = pipeline.disk(memory());
    const copy = Buffer.alloc(CONTENT.length);

    await disk.connect(
      [disk.filter(), disk.reader()],
      callbackSink((record) => {
        if (record.kind === 'data') copy.set(bytesOf(record), record.offsetBytes);
      }),
    );

    expect(copy.equals(CONTENT)).toBe(true);
    expect(disk.stats.read.bytes).toBe(CONTENT.length);
    expect(disk.counts.wantedBytes).toBe(CONTENT.length);
  });

  test('compares with the fingerprints of an earlier chain', async () => {
    const first = pipeline.disk(memory());
    const full = recorder();
    await first.connect([first.filter(), first.reader(), first.comparer()], full.sink);
    const changed = Buffer.from(CONTENT);
    changed[2 * MIB + 5] = 1 + (changed[2 * MIB + 5] ?? 0);
    const parent = { sizeBytes: CONTENT.length, fingerprints: full.known };

    const second = pipeline.disk(memory(changed), { parent });
    const changes = recorder();
    await second.connect([second.filter(), second.reader(), second.comparer()], changes.sink);

    expect(full.lines).toEqual(['hashed 0', 'zero 1', 'hashed 2', 'hashed 3']);
    expect(changes.lines).toEqual(['unchanged 0', 'unchanged 1', 'hashed 2', 'unchanged 3']);
  });

  test.each([0, 1])('reads files with %d threads as it reads devices', async (workers) => {
    await using threads = await createPipeline({ workers });
    const image = await openRawImage(imageOf(CONTENT));
    const fresh = threads.disk(image);
    const full = recorder();
    await fresh.connect([fresh.filter(), fresh.fileReader(), fresh.comparer()], full.sink);
    full.known.set(0, 1n);
    const parent = { sizeBytes: CONTENT.length, fingerprints: full.known };

    const again = threads.disk(image, { parent });
    const changes = recorder();
    await again.connect(
      [again.candidateFilter(), again.changeFinder(), again.fileReader(), again.comparer()],
      changes.sink,
    );
    await image.close();

    expect(full.lines).toEqual(['hashed 0', 'zero 1', 'hashed 2', 'hashed 3']);
    expect(changes.lines).toEqual(['hashed 0', 'unchanged 1', 'unchanged 2']);
  });

  test('reads the changes of a device that knows them', async () => {
    const dirty = [
      { offsetBytes: 0, lengthBytes: 2 * MIB, zero: false, dirty: false },
      { offsetBytes: 2 * MIB, lengthBytes: MIB + 999, zero: false, dirty: true },
    ];
    const device = createMemoryDevice({ content: CONTENT, extents: { dirty } });
    const disk = pipeline.disk(device, { diskId: 'id', mode: 'incremental' });
    const seen = recorder();

    await disk.connect([disk.filter(), disk.reader(), disk.comparer()], seen.sink);

    expect(seen.lines).toEqual(['hashed 2', 'hashed 3']);
    expect(disk.counts.cleanBytes).toBe(2 * MIB);
    expect(disk.task).toMatchObject({ diskId: 'id', alias: 'id' });
  });

  test('goes on with other disks after a chain that failed', async () => {
    for (let k = 0; k < 30; k++) {
      const broken = pipeline.disk(memory());
      const failing = callbackSink(() => {
        throw new Error('the sink failed');
      });
      const chain = broken.connect([broken.filter(), broken.reader()], failing);
      await expect(chain).rejects.toThrow('the sink failed');
    }

    const disk = pipeline.disk(memory());
    await disk.connect([disk.filter(), disk.reader()], nullSink());

    expect(disk.stats.read.blocks).toBe(4);
  });

  test('ends a chain that runs when it is closed', async () => {
    const disk = pipeline.disk(memory());
    let closing: Promise<void> | undefined;
    const sink = callbackSink(async (_record, signal) => {
      setImmediate(() => {
        closing = pipeline.close();
      });
      await once(signal, 'abort');
    });

    await expectCode(disk.connect([disk.filter(), disk.reader()], sink), 'CANCELLED');
    await closing;
    await pipeline.close();
  });

  test('connects a disk once', async () => {
    const disk = pipeline.disk(memory());
    await disk.connect([disk.filter()], nullSink());

    await expectCode(disk.connect([disk.filter()], nullSink()), 'USAGE_WRONG_STATE');
  });

  test('begins no chain after it was closed', async () => {
    const begun = pipeline.disk(memory());
    await pipeline.close();

    await expectCode(begun.connect([begun.filter()], nullSink()), 'CANCELLED');
    expectCodeSync(() => pipeline.disk(memory()), 'USAGE_WRONG_STATE');
  });

  test('refuses stages for files where there is none, and sizes that no container has', async () => {
    const parent = { sizeBytes: MIB, fingerprints: new FingerprintMap() };
    const inMemory = pipeline.disk(memory(), { parent });
    const image = await openRawImage(imageOf(CONTENT));
    const withoutParent = pipeline.disk(image);
    const refused = [
      () => inMemory.fileReader(),
      () => inMemory.changeFinder(),
      () => withoutParent.changeFinder(),
    ];

    for (const make of refused) expectCodeSync(make, 'USAGE_INVALID_OPTION');
    await image.close();
    await expectCode(createPipeline({ blockSizeBytes: 1000 }), 'USAGE_INVALID_OPTION');
  });
});
