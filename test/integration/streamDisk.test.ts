/** One disk of a VM streamed to files and to pipes. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import {
  streamDisk,
  type StreamDiskOptions,
  type StreamReport,
} from '../../src/sessions/pipe/streamDisk.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectCode } from '../helpers/codes.ts';
import { pipeOptions } from '../helpers/lab/pipes.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const bench = useLab();
const folder = useTempFolder();
const SIZE_BYTES = 40 * MIB + 512;

function addVm(): LabVm {
  const disks = [
    { name: 'sys', sizeBytes: SIZE_BYTES, bootable: true },
    { name: 'data', sizeBytes: MIB },
  ];
  const vm = bench.lab.addVm({ name: 'web01', disks });
  vm.disk('sys').write(5 * MIB + 100, noise(1, 2 * MIB));
  vm.disk('sys').write(SIZE_BYTES - 700, noise(2, 700));
  return vm;
}

type Wanted = Pick<StreamDiskOptions, 'output' | 'format'> & Partial<StreamDiskOptions>;

async function stream(given: Wanted): Promise<StreamReport> {
  return await streamDisk({ ...pipeOptions(bench), disk: 'sys', ...given });
}

/** The frozen view of the disk for a stream. */
function frozen(vm: LabVm, { checkpointId }: StreamReport): Buffer {
  return vm.frozenView(checkpointId, 'sys').read(0, vm.disk('sys').sizeBytes);
}

interface Line {
  readonly kind: 'disk' | 'block' | 'zero' | 'end';
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly base64?: string;
  readonly dataOffsetBytes?: number;
  readonly dataFile?: string;
  readonly virtualSizeBytes?: number;
  readonly checkpointId?: string;
  readonly mode?: string;
}

function linesOf(text: string): Line[] {
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

/** Applies the lines to a disk as a reader of the format does. */
function applyLines(image: Buffer, lines: readonly Line[]): void {
  const data = lines[0]?.dataFile ? readFileSync(lines[0].dataFile) : Buffer.alloc(0);
  for (const line of lines) {
    const { kind, offsetBytes, lengthBytes, base64, dataOffsetBytes = 0 } = line;
    if (kind === 'zero') image.fill(0, offsetBytes, offsetBytes + lengthBytes);
    if (kind !== 'block') continue;
    const bytes =
      base64 === undefined
        ? data.subarray(dataOffsetBytes, dataOffsetBytes + lengthBytes)
        : Buffer.from(base64, 'base64');
    expect(bytes.length).toBe(lengthBytes);
    image.set(bytes, offsetBytes);
  }
}

/** A Writable that keeps its bytes, and takes its time. */
class Keeper extends Writable {
  readonly pieces: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.pieces.push(Buffer.from(chunk));
    void sleep(2).then(done);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

describe('a stream with format raw', () => {
  it('to a file is the frozen view, and is sparse', async () => {
    const vm = addVm();
    const output = folder.path('sys.raw');
    const report = await stream({ output, format: 'raw' });

    expect(readFileSync(output).equals(frozen(vm, report))).toBe(true);
    expect(statSync(output).blocks * 512).toBeLessThan(8 * MIB);
    expect(readdirSync(folder.path())).toEqual(['sys.raw']);
    expect(report).toMatchObject({ type: 'stream', alias: 'sys', vmName: 'web01', mode: 'full' });
    expect(vm.checkpointIds()).toEqual([report.checkpointId]);
  });

  it('to a slow Writable is the whole disk, and does not end it', async () => {
    const vm = addVm();
    const output = new Keeper();
    const report = await stream({ output, format: 'raw' });

    expect(output.bytes.equals(frozen(vm, report))).toBe(true);
    expect(output.writableEnded).toBe(false);
  });

  it('is refused with a checkpoint', async () => {
    const vm = addVm();
    const { checkpointId: since } = await stream({ output: new Keeper(), format: 'ndjson' });
    const output = folder.path('x.raw');
    await expectCode(stream({ output, format: 'raw', since }), 'USAGE_INVALID_OPTION');
    expect(vm.checkpointIds()).toEqual([since]);
    expect(readdirSync(folder.path())).toEqual([]);
  });
});

describe('a stream with format ndjson', () => {
  it.each(['file', 'pipe'])('to a %s rebuilds the disk, in full and by its changes', async (to) => {
    const vm = addVm();
    const image = Buffer.alloc(SIZE_BYTES, 7);
    let since: string | undefined;
    for (let k = 0; k < 3; k++) {
      const file = folder.path(`sys.${k}`);
      const keeper = new Keeper();
      const output = to === 'file' ? file : keeper;
      const report = await stream({ output, format: 'ndjson', since });
      const text = to === 'file' ? readFileSync(file, 'utf8') : keeper.bytes.toString();
      const lines = linesOf(text);
      applyLines(image, lines);

      expect(lines[0]).toMatchObject({ kind: 'disk', virtualSizeBytes: SIZE_BYTES });
      expect(lines.at(-1)).toEqual({ kind: 'end', checkpointId: report.checkpointId });
      expect(image.equals(frozen(vm, report))).toBe(true);
      expect(report.mode).toBe(k === 0 ? 'full' : 'incremental');
      if (k > 0) expect(lines.length).toBeLessThan(8);
      since = report.checkpointId;
      vm.disk('sys').write(k * BLOCK_BYTES + 9, noise(k, 1000));
      vm.disk('sys').zero(5 * MIB, MIB);
    }
  });
});

describe('a stream that cannot be written', () => {
  it.each(['raw', 'ndjson'] as const)('to a file that exists is refused (%s)', async (format) => {
    const vm = addVm();
    const output = folder.path('sys');
    writeFileSync(output, 'precious');
    await expectCode(stream({ output, format }), 'USAGE_OUTPUT_EXISTS');
    expect(readFileSync(output, 'utf8')).toBe('precious');
    expect(vm.checkpointIds()).toEqual([]);
  });

  it('to a data file that exists, or a folder that does not, is refused', async () => {
    addVm();
    writeFileSync(folder.path('sys.data'), 'precious');
    await expectCode(
      stream({ output: folder.path('sys'), format: 'ndjson' }),
      'USAGE_OUTPUT_EXISTS',
    );
    const output = path.join(folder.path('none'), 'sys');
    await expectCode(stream({ output, format: 'raw' }), 'USAGE_INVALID_OPTION');
    expect(readdirSync(folder.path())).toEqual(['sys.data']);
  });

  it('of an unknown disk is refused', async () => {
    addVm();
    const output = folder.path('sys');
    await expectCode(stream({ output, format: 'raw', disk: 'none' }), 'USAGE_NOT_FOUND');
    expect(readdirSync(folder.path())).toEqual([]);
  });

  it.each([
    ['raw', 'at once'],
    ['raw', 'later'],
    ['ndjson', 'at once'],
    ['ndjson', 'later'],
  ] as const)(
    'to a reader that closes early ends with OUTPUT_IO (%s, %s)',
    async (format, when) => {
      const vm = addVm();
      let taken = 0;
      const output = new Writable({
        write(_chunk, _encoding, done) {
          taken++;
          const isClosed = when === 'at once' || taken > 4;
          done(isClosed ? Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }) : null);
        },
      });
      await expectCode(stream({ output, format }), 'OUTPUT_IO');
      expect(bench.lab.leftovers()).toEqual([]);
      expect(vm.checkpointIds()).toEqual([]);
    },
  );

  it('to a stream that is destroyed ends with OUTPUT_IO', async () => {
    const vm = addVm();
    const output = new PassThrough();
    output.once('data', () => output.destroy());
    await expectCode(stream({ output, format: 'raw' }), 'OUTPUT_IO');
    expect(vm.checkpointIds()).toEqual([]);
  });

  it.each(['raw', 'ndjson'] as const)('leaves no file after an abort (%s)', async (format) => {
    const vm = addVm();
    const controller = new AbortController();
    const output = folder.path('sys');
    const { signal } = controller;
    const onProgress = (): void => controller.abort();
    await expectCode(stream({ output, format, signal, onProgress }), 'CANCELLED');
    expect(readdirSync(folder.path())).toEqual([]);
    expect(vm.checkpointIds()).toEqual([]);
  });

  it.each(['raw', 'ndjson'] as const)(
    'leaves no file after a failed finish (%s)',
    async (format) => {
      const vm = addVm();
      const controller = new AbortController();
      const path = /\/backups\/[^/]+\/finalize/;
      bench.lab.faults.add({ method: 'POST', path }, { run: () => controller.abort() });
      const output = folder.path('sys');
      const work = stream({ output, format, signal: controller.signal });
      const report = await work.catch(() => undefined);
      if (!report) expect(readdirSync(folder.path())).toEqual([]);
      expect(vm.checkpointIds()).toEqual(report ? [report.checkpointId] : []);
    },
  );

  it('to a stream that is destroyed in mid-write ends with OUTPUT_IO', async () => {
    const vm = addVm();
    const output = new Writable({
      write() {
        // It never calls back.
        setImmediate(() => this.destroy());
      },
    });
    await expectCode(stream({ output, format: 'raw' }), 'OUTPUT_IO');
    expect(vm.checkpointIds()).toEqual([]);
  });

  it('to a pipe that nobody reads is stopped by the signal', async () => {
    const vm = addVm();
    const controller = new AbortController();
    const output = new PassThrough({ highWaterMark: 10 });
    setTimeout(() => controller.abort(), 500);
    const { signal } = controller;
    await expectCode(stream({ output, format: 'raw', signal }), 'CANCELLED');
    expect(vm.checkpointIds()).toEqual([]);
  });
});
