/** Images and devices of the caller, piped to sinks. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { BlockDevice, Extent } from '../../src/flow/records.ts';
import { openRepository } from '../../src/points/openRepository.ts';
import { openImage } from '../../src/sessions/pipe/openImage.ts';
import type { OpenBackup } from '../../src/sessions/pipe/openBackup.ts';
import type { OpenDisk } from '../../src/sessions/pipe/openDisk.ts';
import { BLOCK_BYTES, blocks, sha256, writeImage } from '../helpers/bytes/images.ts';
import { expectCode } from '../helpers/codes.ts';
import { openFilesIn } from '../helpers/faults/leaks.ts';
import { VmCopy } from '../helpers/lab/pipes.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const FIRST = Buffer.concat([blocks('AB0c0D'), Buffer.from('a short tail')]);
const SECOND = Buffer.concat([blocks('AX0c0d'), Buffer.from('another tail')]);
const folder = useTempFolder();
const OPTIONS = { blockSizeBytes: BLOCK_BYTES, workers: 0 };

function diskOf(opened: OpenBackup): OpenDisk {
  const [disk] = opened.disks;
  if (!disk) throw new Error('no disk');
  return disk;
}

/** Bytes of the copy after a pipe. */
async function piped(opened: OpenBackup, compress: 'none' | 'lz4' = 'none'): Promise<Buffer> {
  const disk = diskOf(opened);
  const target = new VmCopy().of(disk);
  await disk.pipe({ ...target.sink(), compress });
  expect(await opened.finish()).toMatchObject({ checkpointId: '' });
  return target.bytes;
}

/** A device of random access whose reads are slow and may fail. */
class SlowDevice implements BlockDevice {
  readonly virtualSizeBytes = FIRST.length;
  closes = 0;
  failAtBytes = Number.POSITIVE_INFINITY;

  *extents(): Iterable<Extent> {
    yield { offsetBytes: 0, lengthBytes: FIRST.length, zero: false, dirty: true };
  }

  async readInto(target: Uint8Array, offsetBytes: number): Promise<number> {
    await new Promise(setImmediate);
    if (offsetBytes >= this.failAtBytes) throw new Error('a bad sector');
    target.set(FIRST.subarray(offsetBytes, offsetBytes + target.length));
    return target.length;
  }

  close(): Promise<void> {
    this.closes++;
    return Promise.resolve();
  }
}

describe('an image that is piped', () => {
  it.each(['none', 'lz4'] as const)('gives its bytes (compress: %s)', async (compress) => {
    for (const workers of [0, 2]) {
      const image = writeImage(folder.path('disk.raw'), FIRST);
      await using opened = await openImage(image, { ...OPTIONS, workers });
      expect(diskOf(opened)).toMatchObject({ alias: 'disk.raw', mode: 'full' });
      expect((await piped(opened, compress)).equals(FIRST)).toBe(true);
      await opened.close();
      expect(openFilesIn(folder.path())).toEqual([]);
    }
  });

  it('gives only the changes since a point', async () => {
    const image = writeImage(folder.path('disk.raw'), FIRST);
    await backup(folder.path('repository'), image);
    writeFileSync(image, SECOND);
    await using repository = await openRepository(folder.path('repository'), { workers: 0 });
    const parent = await repository.point(VM);
    await using opened = await openImage(image, { parent, workers: 0 });
    const copy = Buffer.from(FIRST);
    const seen: number[] = [];
    const report = await diskOf(opened).pipe({
      block({ offsetBytes, bytes }) {
        seen.push(offsetBytes / BLOCK_BYTES);
        copy.set(bytes, offsetBytes);
      },
      zero: ({ offsetBytes, lengthBytes }) =>
        void copy.fill(0, offsetBytes, offsetBytes + lengthBytes),
    });

    expect(seen).toEqual([1, 5, 6]);
    expect(report.mode).toBe('compare');
    expect(sha256(copy)).toBe(sha256(SECOND));
    const given = { parent, name: 'another', workers: 0 };
    await expectCode(openImage(image, given), 'USAGE_NOT_FOUND');
  });

  it('is refused when it is none, and leaves no file open', async () => {
    await expectCode(openImage(folder.path('none')), 'USAGE_IMAGE_UNREADABLE');
    await expectCode(openImage(folder.path()), 'USAGE_IMAGE_UNREADABLE');
    const image = writeImage(folder.path('disk.raw'), FIRST);
    await expectCode(openImage(image, { blockSizeBytes: 5 }), 'USAGE_INVALID_OPTION');
    await expectCode(openImage(image, { workers: -1 }), 'USAGE_INVALID_OPTION');
    expect(openFilesIn(folder.path())).toEqual([]);
  });

  it('ends with CANCELLED when it is closed in mid-pipe', async () => {
    const image = writeImage(folder.path('disk.raw'), FIRST);
    const opened = await openImage(image, OPTIONS);
    const pipe = diskOf(opened).pipe({ block: () => new Promise(() => {}), zero: () => {} });
    const ended = expectCode(pipe, 'CANCELLED');
    await opened.close();
    await ended;
    expect(openFilesIn(folder.path())).toEqual([]);
  });

  it('may be empty', async () => {
    const image = writeImage(folder.path('disk.raw'), Buffer.alloc(0));
    const opened = await openImage(image, OPTIONS).catch((error: unknown) => error);
    expect(opened).toMatchObject({ code: 'USAGE_IMAGE_UNREADABLE' });
  });
});

describe('a device of the caller', () => {
  it('is piped, and closed once', async () => {
    const device = new SlowDevice();
    const opened = await openImage(device, { ...OPTIONS, name: 'mine' });
    const bytes = await piped(opened, 'lz4');
    await opened.close();
    await opened.close();

    expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256(FIRST));
    expect(device.closes).toBe(1);
  });

  it('that fails ends the pipe with its error as the cause', async () => {
    const device = new SlowDevice();
    device.failAtBytes = 3 * BLOCK_BYTES;
    await using opened = await openImage(device, OPTIONS);
    const pipe = diskOf(opened).pipe(new VmCopy().of(diskOf(opened)).sink());
    const error = (await pipe.catch((given: unknown) => given)) as Error;
    const { message, cause } = error;
    expect(`${message} ${cause instanceof Error ? cause.message : ''}`).toContain('a bad sector');
    await opened.close();
    expect(device.closes).toBe(1);
  });
});
