/**
 * A backup from a real image file into a real container, with a fault at one exact moment, and the
 * check that nothing of it is left.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { ContainerWriter } from '../../../src/container/write/containerWriter.ts';
import { createContainerSink } from '../../../src/container/write/containerSink.ts';
import type { Storage } from '../../../src/store/storage.ts';
import { openStorage } from '../../../src/store/folder/fileStorage.ts';
import { openRawImage } from '../../../src/devices/rawImageDevice.ts';
import type { BlockDevice } from '../../../src/flow/records.ts';
import { createStageStats } from '../../../src/core/stats.ts';
import { FingerprintMap } from '../../../src/flow/fingerprintMap.ts';
import { diskImage } from '../pipeline/diskPicture.ts';
import { activeResources, newResources, openFilesIn } from './leaks.ts';
import { openPipelineRun, type PipelineRun, type Place } from '../pipeline/pipelineRun.ts';
import { tempFolderOfTest } from '../tempFolder.ts';

/** 35 different data blocks with zeros between them: LZ4 packs 26, and 9 stay plain. */
const PICTURE = 'A0B0C0D0E0F0G0H0I0J0K0L0M0N0O0P0Q0R0S0T0U0V0W0X0Y0Z01020304050607080900';
const BLOCK_SIZE_BYTES = 16_384;

export type FaultPlace = Place | 'write';

export interface Fault {
  readonly place: FaultPlace;
  /** Number of the piece of work before which it happens, from 1. */
  readonly count: number;
  /** The fault. A rejection becomes the error of that piece of work. */
  readonly strike: (run: PipelineRun) => Promise<void> | void;
}

export interface FaultRun {
  readonly run: PipelineRun;
  readonly sink: Writable;
  readonly device: BlockDevice;
  readonly storage: Storage;
  readonly hasStruck: () => boolean;
  backup(): Promise<void>;
  /** Closes everything that the caller of a pipeline has to close. */
  close(): Promise<void>;
  /** Fails when a stream, job, slot, thread, file or other resource is left. */
  expectNothingLeft(): Promise<void>;
}

function tappedStorage(storage: Storage, tap: (place: 'write', count: number) => unknown): Storage {
  let writes = 0;
  return {
    name: storage.name,
    canReadBack: storage.canReadBack,
    sizeBytes: () => storage.sizeBytes(),
    read: (target, offsetBytes) => storage.read(target, offsetBytes),
    sync: () => storage.sync(),
    close: () => storage.close(),
    write: async (pieces, offsetBytes) => {
      await tap('write', ++writes);
      await storage.write(pieces, offsetBytes);
    },
  };
}

/** Waits some turns of the event loop for handles that are closing. */
async function untilGone(before: ReadonlyMap<string, number>): Promise<void> {
  for (let turn = 0; turn < 1_000 && newResources(before).length > 0; turn++) await nextTurn();
}

/** Writes of `ContainerWriter.create`, before the first block. */
const HEADER_WRITES = 2;

export async function openFaultRun(fault: Fault | undefined, workers: number): Promise<FaultRun> {
  const directory = tempFolderOfTest();
  const before = activeResources();
  const image = diskImage(PICTURE, { blockSizeBytes: BLOCK_SIZE_BYTES });
  const path = join(directory, 'disk.raw');
  await writeFile(path, image.content);
  const raw = await openRawImage(path);
  const device: BlockDevice = {
    virtualSizeBytes: raw.virtualSizeBytes,
    extents: () => image.extents,
    readInto: (...args) => raw.readInto(...args),
    close: () => raw.close(),
  };

  let hasStruck = false;
  const tap = (place: FaultPlace, count: number): Promise<void> | void => {
    const skipped = place === 'write' ? HEADER_WRITES : 0;
    if (fault?.place !== place || count - skipped !== fault.count) return undefined;
    hasStruck = true;
    return fault.strike(run);
  };

  const task = image.task();
  const run: PipelineRun = await openPipelineRun({ task, device, workers, tap });
  const storage = await openStorage(join(directory, 'disk.vbk'), 'create');
  const writer = await ContainerWriter.create(tappedStorage(storage, tap), {
    blockSizeBytes: BLOCK_SIZE_BYTES,
    slotFormat: 0,
  });
  const sink = createContainerSink({
    task,
    writer,
    isIncrement: false,
    fingerprints: new FingerprintMap(),
    stats: createStageStats(),
  });

  let isClosed = false;
  async function close(): Promise<void> {
    if (isClosed) return;
    isClosed = true;
    run.lease.end();
    await run.close();
    await Promise.all([device.close(), storage.close()]);
  }
  onTestFinished(close);

  return {
    run,
    sink,
    device,
    storage,
    hasStruck: () => hasStruck,
    backup: () => run.backupTo(sink),
    close,
    expectNothingLeft: async () => {
      expect([...run.streams, sink].map((stream) => stream.closed)).not.toContain(false);
      expect(run.pendingJobs).toBe(0);
      await close();
      await nextTurn();
      expect(run.slab.inUseCount).toBe(0);
      expect(run.threads.size).toBe(0);
      expect(openFilesIn(directory)).toEqual([]);
      await untilGone(before);
      expect(newResources(before)).toEqual([]);
    },
  };
}
