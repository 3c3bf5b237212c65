/** Sinks that throw, never answer, keep bytes, end early, or are of a wrong kind. */
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import type { BlockSink, PipedRecord } from '../../src/flow/sinks/blockSink.ts';
import type { OpenBackup } from '../../src/sessions/pipe/openBackup.ts';
import type { DiskSink, OpenDisk } from '../../src/sessions/pipe/openDisk.ts';
import { openVm, type OpenVmOptions } from '../../src/sessions/pipe/openVm.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectCode } from '../helpers/codes.ts';
import { pipeAll, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();

function addVm(): LabVm {
  const disks = [
    { name: 'sys', sizeBytes: 2 * MIB + 512, bootable: true },
    { name: 'data', sizeBytes: 2 * MIB },
  ];
  const vm = bench.lab.addVm({ name: 'web01', disks });
  for (const disk of vm.disks) disk.write(0, noise(disk.name, 7 * BLOCK_BYTES));
  return vm;
}

async function open(given: Partial<OpenVmOptions> = {}): Promise<OpenBackup> {
  return await openVm(pipeOptions(bench, given));
}

function first(backup: OpenBackup): OpenDisk {
  const [disk] = backup.disks;
  if (!disk) throw new Error('no disk');
  return disk;
}

const forever = (): Promise<void> => new Promise(() => {});
const nothing = (): void => {};

/** What `work` rejects with. */
async function rejection(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => expect.unreachable('it was to fail'),
    (error: unknown) => error,
  );
}

/** The VM can be piped again, with right bytes, and nothing is left of the backup before. */
async function expectFreed(vm: LabVm): Promise<void> {
  expect(bench.lab.leftovers()).toEqual([]);
  expect(vm.checkpointIds()).toEqual([]);
  const copy = new VmCopy();
  const { backup, checkpointId } = await pipeAll(bench, copy);
  expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
}

const FAILURE = new Error('the archive is full');
const THROWING: Readonly<Record<string, BlockSink>> = {
  'in block at once': {
    block: () => {
      throw FAILURE;
    },
    zero: nothing,
  },
  'in block later': { block: () => Promise.reject(FAILURE), zero: nothing },
  'in zero at once': {
    block: nothing,
    zero: () => {
      throw FAILURE;
    },
  },
  'in zero later': { block: nothing, zero: () => Promise.reject(FAILURE) },
};

describe('a sink that throws', () => {
  it.each(Object.entries(THROWING))(
    '%s fails the pipe with the same error',
    async (_title, sink) => {
      const vm = addVm();
      await using backup = await open();
      const copy = new VmCopy();
      const [disk, other] = backup.disks as [OpenDisk, OpenDisk];

      const [error] = await Promise.all([
        rejection(disk.pipe(sink)),
        other.pipe(copy.of(other).slowSink(5)),
      ]);

      expect(error).toBe(FAILURE);
      await expectCode(backup.finish(), 'USAGE_WRONG_STATE');
      await expectCode(disk.pipe(copy.of(disk).sink()), 'USAGE_WRONG_STATE');
      await backup.close();
      await expectFreed(vm);
    },
  );

  it.each([undefined, null, 'a text', 0])(
    '%j is no Error, and comes out as it is',
    async (value) => {
      const vm = addVm();
      await using backup = await open();
      const block = (): Promise<void> => Promise.reject(value as unknown as Error);
      await expect(rejection(first(backup).pipe({ block, zero: nothing }))).resolves.toBe(value);
      await backup.close();
      await expectFreed(vm);
    },
  );

  it('in onProgress fails the pipe with the same error', async () => {
    const vm = addVm();
    await using backup = await open();
    const onProgress = (): void => {
      throw FAILURE;
    };
    const pipe = first(backup).pipe({ block: nothing, zero: nothing, onProgress });
    await expect(rejection(pipe)).resolves.toBe(FAILURE);
    await backup.close();
    await expectFreed(vm);
  });

  it('because it is none, is refused before anything is read', async () => {
    const vm = addVm();
    await using backup = await open();
    const none = [{ block: nothing }, { zero: nothing }, {}, undefined, null, 'text'];
    for (const sink of none as unknown as DiskSink[]) {
      await expectCode(first(backup).pipe(sink), 'USAGE_INVALID_OPTION');
    }
    await first(backup).pipe({ block: nothing, zero: nothing });
    await backup.close();
    await expectFreed(vm);
  });
});

describe('a sink that never answers', () => {
  it.each(['block', 'zero'] as const)(
    'in %s is stopped by the signal of the disk',
    async (where) => {
      const vm = addVm();
      await using backup = await open();
      const [disk, other] = backup.disks as [OpenDisk, OpenDisk];
      const controller = new AbortController();
      const wait = async (): Promise<void> => {
        setImmediate(() => controller.abort());
        await forever();
      };
      const sink = { block: nothing, zero: nothing, [where]: wait, signal: controller.signal };

      await expectCode(disk.pipe(sink), 'CANCELLED');

      // The block that the sink still holds does not stop the other disk.
      const copy = new VmCopy();
      await other.pipe(copy.of(other).sink());
      await backup.close();
      await expectFreed(vm);
    },
  );

  it('is stopped by the signal of the backup, and by close', async () => {
    const vm = addVm();
    for (const how of ['signal', 'close']) {
      const controller = new AbortController();
      await using backup = await open({ signal: controller.signal });
      let stop: (() => void) | undefined;
      const reached = new Promise<void>((resolve) => (stop = resolve));
      const block = async (): Promise<void> => {
        stop?.();
        await forever();
      };
      const pipes = backup.disks.map((disk) => disk.pipe({ block, zero: nothing }));
      const ended = Promise.all(pipes.map((pipe) => expectCode(pipe, 'CANCELLED')));
      await reached;
      if (how === 'signal') controller.abort();
      else void backup.close();
      await ended;
      await backup.close();
    }
    await expectFreed(vm);
  });
});

describe('a sink that keeps bytes', () => {
  it.each(['none', 'lz4'] as const)(
    'finds them empty with debugOwnership (%s)',
    async (compress) => {
      const vm = addVm();
      const copy = new VmCopy();
      await using backup = await open({ debugOwnership: true });
      const kept: Buffer[] = [];
      for (const disk of backup.disks) {
        const { apply } = copy.of(disk);
        await disk.pipe({
          compress,
          zero: apply,
          block: (record) => {
            apply(record);
            kept.push(record.bytes);
          },
        });
      }
      const { checkpointId } = await backup.finish();

      expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
      expect(kept.length).toBeGreaterThan(10);
      expect(kept.filter((bytes) => bytes.length > 0)).toEqual([]);
    },
  );
});

/** A Writable whose work is `write`. */
function writable(write: (record: PipedRecord, self: Writable) => Promise<void> | void): Writable {
  return new Writable({
    objectMode: true,
    write(record: PipedRecord, _encoding, done) {
      void Promise.resolve(write(record, this)).then(() => done(), done);
    },
  });
}

describe('a Writable', () => {
  it('of bytes is refused', async () => {
    const vm = addVm();
    await using backup = await open();
    const bytes = new Writable({ write: (_chunk, _encoding, done) => done() });
    await expectCode(first(backup).pipe(bytes), 'USAGE_INVALID_OPTION');
    expect(bytes.destroyed).toBe(false);
    await first(backup).pipe({ block: nothing, zero: nothing });
    await backup.close();
    await expectFreed(vm);
  });

  it('that fails, fails the pipe with the same error', async () => {
    const vm = addVm();
    await using backup = await open();
    const target = writable(() => Promise.reject(FAILURE));
    await expect(rejection(first(backup).pipe(target))).resolves.toBe(FAILURE);
    expect(target.destroyed).toBe(true);
    await backup.close();
    await expectFreed(vm);
  });

  it.each(['before the pipe', 'while it writes', 'while it writes without an answer'])(
    'that is destroyed %s fails the pipe',
    async (when) => {
      const vm = addVm();
      await using backup = await open();
      const target = writable(async (_record, self) => {
        self.destroy();
        if (when.endsWith('answer')) await forever();
      });
      if (when.startsWith('before')) target.destroy();
      const error = await rejection(first(backup).pipe(target));
      expect(error).toBeInstanceOf(Error);
      await backup.close();
      await expectFreed(vm);
    },
  );

  it.each(['an abort', 'its destroy'])('keeps the bytes of its write after %s', async (how) => {
    addVm();
    await using backup = await open({ blockSizeBytes: 8 * MIB });
    const [disk, other] = backup.disks as [OpenDisk, OpenDisk];
    const controller = new AbortController();
    let held: Uint8Array = Buffer.alloc(0);
    let answer = nothing;
    const target = writable(async (record, self) => {
      if (record.kind !== 'block') return;
      held = record.bytes;
      if (how === 'an abort') controller.abort();
      else self.destroy();
      await new Promise<void>((resolve) => (answer = resolve));
    });
    await rejection(disk.pipe(target, { signal: controller.signal }));
    const before = Buffer.from(held);
    await other.pipe({ block: nothing, zero: nothing });
    expect(before.length).toBeGreaterThan(0);
    expect(before.equals(held)).toBe(true);
    answer();
  });

  it('that was ended before fails the pipe', async () => {
    const vm = addVm();
    await using backup = await open();
    const target = writable(nothing);
    target.end();
    await rejection(first(backup).pipe(target));
    await backup.close();
    await expectFreed(vm);
  });

  it('whose end fails, fails the pipe', async () => {
    const vm = addVm();
    await using backup = await open();
    const target = writable(nothing);
    target._final = (done) => done(FAILURE);
    await expect(rejection(first(backup).pipe(target))).resolves.toBe(FAILURE);
    await backup.close();
    await expectFreed(vm);
  });

  it('takes several disks one after the other when it is not ended', async () => {
    const vm = addVm();
    const copy = new VmCopy();
    await using backup = await open();
    const all = new Map(backup.disks.map((disk) => [disk.id, copy.of(disk)]));
    const target = writable((record) => all.get(record.diskId)?.apply(record));
    for (const disk of backup.disks) await disk.pipe(target, { end: false });
    const { checkpointId } = await backup.finish();

    expect(target.writableEnded).toBe(false);
    expect(target.listenerCount('error')).toBe(0);
    expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
  });
});
