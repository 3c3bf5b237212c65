/** Sparse raw images: holes are not read, and every point restores to the same bytes. */
import { closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import pino from 'pino';
import { describe, expect, test, vi } from 'vitest';
import type { BackupImagesOptions } from '../../src/sessions/backup/backupImages.ts';
import type { DiskReport } from '../../src/sessions/shared/report.ts';
import { BLOCK_BYTES, KIB, MIB } from '../helpers/bytes/images.ts';
import { createRandom, noise } from '../helpers/bytes/random.ts';
import { type Island, punchHole, writeIslands } from '../helpers/bytes/sparseImages.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import {
  fakeQemuImg,
  printedMap,
  realQemuImg,
  withoutQemuImg,
} from '../helpers/faults/fakeQemuImg.ts';
import { backup, expectClean, expectRestored } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const repository = (): string => temp.path('repo');
const image = (): string => temp.path('disk');
const SIZE_BYTES = 8 * MIB;
const PAGE_BYTES = 4 * KIB;

/** Backs the image up, and expects the new point to restore to its bytes. */
async function backedUp(options: Partial<BackupImagesOptions> = {}): Promise<DiskReport> {
  const { disks, pointId } = await backup(repository(), image(), options);
  await expectRestored(repository(), { disk: readFileSync(image()) }, { point: pointId });
  const [disk] = disks;
  return disk ?? expect.unreachable('the report has no disk');
}

function write(offsetBytes: number, bytes: Uint8Array): void {
  const handle = openSync(image(), 'r+');
  writeSync(handle, bytes, 0, bytes.length, offsetBytes);
  closeSync(handle);
}

describe('holes of an image', () => {
  test.each([
    ['are the whole file', SIZE_BYTES, [], 0],
    ['are the whole file, which ends in a block', SIZE_BYTES + 700, [], 0],
    ['come after the data', SIZE_BYTES, [[0, BLOCK_BYTES]], BLOCK_BYTES],
    ['come before the data', SIZE_BYTES, [[SIZE_BYTES - PAGE_BYTES, PAGE_BYTES]], BLOCK_BYTES],
    ['end in a block', SIZE_BYTES, [[5 * BLOCK_BYTES - 1, 2]], 2 * BLOCK_BYTES],
    ['begin in a block', SIZE_BYTES, [[5 * BLOCK_BYTES, BLOCK_BYTES + 1]], 2 * BLOCK_BYTES],
    ['lie around one byte', SIZE_BYTES, [[7 * BLOCK_BYTES + 12_345, 1]], BLOCK_BYTES],
    ['come before a short last block', SIZE_BYTES + PAGE_BYTES, [[SIZE_BYTES, 1]], PAGE_BYTES],
  ] as [string, number, [number, number][], number][])(
    '%s: they are not read',
    async (_where, sizeBytes, data, readBytes) => {
      const islands = data.map(([at, length]): Island => [at, noise('x', length)]);
      writeIslands(image(), sizeBytes, islands);

      const full = await backedUp();
      const increment = await backedUp();

      expect(full).toMatchObject({ readBytes, changedBytes: readBytes });
      expect(full.zeroBytes).toBe(sizeBytes - readBytes);
      expect(increment).toMatchObject({ readBytes, changedBytes: 0, unchangedBytes: sizeBytes });
      await expectClean(repository());
    },
  );

  test('at random places are not read by threads either', async () => {
    const random = createRandom(77);
    for (let round = 0; round < 5; round++) {
      const islands = Array.from({ length: 6 }, (): Island => {
        const offsetBytes = random.below(SIZE_BYTES - 100_000);
        return [offsetBytes, noise(`${round}${offsetBytes}`, 1 + random.below(100_000))];
      });
      writeIslands(image(), SIZE_BYTES, islands);

      const { readBytes } = await backedUp({ workers: 2 });

      expect(readBytes).toBeLessThan(SIZE_BYTES);
    }
    await expectClean(repository());
  });

  test('that get data are read, and data that becomes a hole is recorded as zeros', async () => {
    writeIslands(image(), SIZE_BYTES, [[4 * BLOCK_BYTES, noise('a', 3 * BLOCK_BYTES)]]);
    await backedUp();
    punchHole(image(), 5 * BLOCK_BYTES, BLOCK_BYTES + PAGE_BYTES);
    write(20 * BLOCK_BYTES - 1, noise('b', 2));

    const increment = await backedUp();

    // Block 4 is as it was, block 6 lost a page, blocks 19 and 20 got a byte each, block 5 is gone.
    expect(increment).toMatchObject({
      readBytes: 4 * BLOCK_BYTES,
      changedBytes: 3 * BLOCK_BYTES,
      zeroBytes: BLOCK_BYTES,
    });
    punchHole(image(), 0, SIZE_BYTES);
    expect(await backedUp()).toMatchObject({ readBytes: 0, changedBytes: 0 });
    await expectClean(repository());
  });

  test('are not read in a file of another format that --image-format raw insists on', async () => {
    writeIslands(image(), SIZE_BYTES, [[0, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1')]]);

    expect(await backedUp({ imageFormat: 'raw' })).toMatchObject({ readBytes: BLOCK_BYTES });
  });

  test('that get data after they were listed are told', async () => {
    writeIslands(image(), SIZE_BYTES, [[0, noise('a', 100)]]);
    writeFileSync(temp.path('late'), noise('late', 100));
    const write = `/bin/dd if=${temp.path('late')} of=${image()} bs=1 seek=${MIB} conv=notrunc`;
    fakeQemuImg(`${realQemuImg()} "$@"; ${write} 2>/dev/null`);

    const report = await backup(repository(), image());

    expect(messageCodes(report)).toEqual(['DSK-112']);
    vi.unstubAllEnvs();
    expect(await backedUp()).toMatchObject({ changedBytes: BLOCK_BYTES });
  });
});

describe('holes that are not known', () => {
  const whole = printedMap([[0, SIZE_BYTES, true]]);

  test.each([
    ['because qemu-img prints rubbish', 'echo rubbish'],
    ['because qemu-img fails', `${whole}; exit 1`],
    ['because qemu-img maps a larger file', printedMap([[0, 2 * SIZE_BYTES, true]])],
    ['because qemu-img maps a smaller file', printedMap([[0, SIZE_BYTES - 4096, true]])],
    ['because qemu-img is missing', undefined],
  ])('%s are read', async (_why, script) => {
    writeIslands(image(), SIZE_BYTES, [[3 * BLOCK_BYTES + 5, noise('a', 100_000)]]);
    if (script === undefined) withoutQemuImg();
    else fakeQemuImg(script);
    const lines: string[] = [];
    const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });

    const full = await backedUp({ logger });
    const increment = await backedUp();

    expect(full).toMatchObject({ readBytes: SIZE_BYTES, zeroBytes: SIZE_BYTES - BLOCK_BYTES });
    expect(increment).toMatchObject({ readBytes: SIZE_BYTES, unchangedBytes: SIZE_BYTES });
    expect(lines.filter((line) => line.includes('holes were read'))).toHaveLength(1);
  });

  test('are not asked for in a file that is stored whole', async () => {
    writeIslands(image(), SIZE_BYTES, [[0, noise('a', SIZE_BYTES)]]);
    fakeQemuImg(whole);

    expect(await backedUp()).toMatchObject({ readBytes: SIZE_BYTES });
  });

  test('hold up no session that is aborted', async () => {
    writeIslands(image(), SIZE_BYTES, []);
    const stop = new AbortController();
    fakeQemuImg(`: > ${temp.path('started')}; exec /bin/sleep 60`);
    const running = backup(repository(), image(), { signal: stop.signal });
    await expect.poll(() => existsSync(temp.path('started'))).toBe(true);

    stop.abort();

    await expectCode(running, 'CANCELLED');
  });
});
