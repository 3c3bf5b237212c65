import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { findHoles, type Hole, type HoleSearch } from '../../../src/devices/imageHoles.ts';
import { GIB_BYTES, KIB, MIB } from '../../helpers/bytes/images.ts';
import { type Island, writeIslands } from '../../helpers/bytes/sparseImages.ts';
import {
  fakeQemuImg,
  printedMap,
  realQemuImg,
  withoutQemuImg,
} from '../../helpers/faults/fakeQemuImg.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const { signal } = new AbortController();
const SIZE_BYTES = 4 * MIB;

/** Opens a file for the running test. */
function opened(file: string): number {
  const fileDescriptor = openSync(file, 'r');
  onTestFinished(() => closeSync(fileDescriptor));
  return fileDescriptor;
}

function search(sizeBytes: number, islands: readonly Island[]): HoleSearch {
  const fileDescriptor = opened(writeIslands(temp.path('disk'), sizeBytes, islands));
  return { fileDescriptor, sizeBytes, signal };
}

/** Holes of a file of {@link SIZE_BYTES} without data. */
async function holesOfEmpty(more: Partial<HoleSearch> = {}): Promise<readonly Hole[]> {
  return await findHoles({ ...search(SIZE_BYTES, []), ...more });
}

async function pidFrom(file: string): Promise<number> {
  await expect.poll(() => existsSync(file)).toBe(true);
  return Number(readFileSync(file, 'utf8'));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const DATA = Buffer.alloc(64 * KIB, 7);

describe('holes of a file', () => {
  test('are the ranges that are not stored', async () => {
    const islands: Island[] = [[MIB, DATA]];

    expect(await findHoles(search(SIZE_BYTES, islands))).toEqual([
      { offsetBytes: 0, lengthBytes: MIB },
      { offsetBytes: MIB + DATA.length, lengthBytes: 3 * MIB - DATA.length },
    ]);
  });

  test('are the whole file when nothing is stored', async () => {
    expect(await holesOfEmpty()).toEqual([{ offsetBytes: 0, lengthBytes: SIZE_BYTES }]);
  });

  test('end with the file, not with its last sector', async () => {
    const sizeBytes = SIZE_BYTES + 3;

    expect(await findHoles(search(sizeBytes, []))).toEqual([
      { offsetBytes: 0, lengthBytes: sizeBytes },
    ]);
  });

  test('that cover no block are left out', async () => {
    const step = 192 * KIB;
    const islands = Array.from({ length: 10 }, (_, k): Island => [k * step, DATA]);

    expect(await findHoles(search(10 * step, islands))).toEqual([]);
  });

  test('are found when the file starts like a qcow2 file', async () => {
    const islands: Island[] = [[0, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1')]];

    const [hole] = await findHoles(search(SIZE_BYTES, islands));

    expect(hole).toMatchObject({ lengthBytes: expect.closeTo(SIZE_BYTES, -5) as number });
  });

  test('are those of the open file, not of a file that took its name', async () => {
    const asked = search(SIZE_BYTES, []);
    renameSync(temp.path('disk'), temp.path('old'));
    writeFileSync(temp.path('disk'), Buffer.alloc(SIZE_BYTES, 1));

    expect(await findHoles(asked)).toHaveLength(1);
    unlinkSync(temp.path('old'));
    expect(await findHoles(asked)).toHaveLength(1);
  });

  test('are bounded in number', async () => {
    const wanted = 2 ** 18;
    const stepBytes = 512 * KIB;
    const sizeBytes = (wanted + 100) * stepBytes;
    const asked = { ...search(sizeBytes, []), timeLimitMs: 300_000 };
    const script = temp.path('print.mjs');
    writeFileSync(
      script,
      `for (let k = 0; k < ${sizeBytes / MIB} * 4; k++)
         console.log(JSON.stringify({ start: k * 262144, length: 262144, zero: k % 2 === 0 }) + ',');`,
    );
    fakeQemuImg(`exec ${process.execPath} ${script}`);

    expect(await findHoles(asked)).toHaveLength(wanted);
  });
});

describe('a map is refused', () => {
  test.each([
    ['that is no map', 'echo rubbish'],
    ['that is another document', `echo '{"type":"exit_error"}'`],
    ['that is empty', 'exit 0'],
    ['that ends too early', printedMap([[0, MIB, true]])],
    ['that ends beyond the file', printedMap([[0, SIZE_BYTES + 512, true]])],
    ['that is for a larger file', printedMap([[0, GIB_BYTES, true]])],
    ['that starts late', printedMap([[MIB, 3 * MIB, true]])],
    [
      'with a gap',
      printedMap([
        [0, MIB, true],
        [2 * MIB, 2 * MIB, true],
      ]),
    ],
    [
      'with ranges that overlap',
      printedMap([
        [0, 2 * MIB, true],
        [MIB, 3 * MIB, true],
      ]),
    ],
    ['with an empty range', printedMap([[0, 0, true]])],
    ['with a negative range', printedMap([[0, -1, true]])],
    ['with a broken range', printedMap([[0, 0.5, true]])],
    ['in one endless line', "while :; do printf '                                '; done"],
    ['of a program that fails afterwards', `${printedMap([[0, SIZE_BYTES, true]])}; exit 1`],
    ['of a program that is killed', `${printedMap([[0, SIZE_BYTES, true]])}; kill -9 $$`],
  ])('%s', async (_what, script) => {
    fakeQemuImg(script);

    await expect(holesOfEmpty()).rejects.toThrow(/./);
  });

  test('whose program hangs, also in a child of its own', async () => {
    fakeQemuImg('/bin/sleep 20; exit 0');

    await expect(holesOfEmpty({ timeLimitMs: 20 })).rejects.toThrow(/./);
  });

  test('whose program is missing', async () => {
    withoutQemuImg();

    await expect(holesOfEmpty()).rejects.toThrow('ENOENT');
  });

  test('after an abort, and its program is killed', async () => {
    const pidFile = temp.path('pid');
    fakeQemuImg(`echo $$ > ${pidFile}.new; /bin/mv ${pidFile}.new ${pidFile}; exec /bin/sleep 60`);
    const stop = new AbortController();
    const found = holesOfEmpty({ signal: stop.signal });
    const pid = await pidFrom(pidFile);

    stop.abort();

    await expect(found).rejects.toThrow(/abort/i);
    await expect.poll(() => isRunning(pid)).toBe(false);
  });

  test('before its program is started, when the session has been aborted', async () => {
    await expect(holesOfEmpty({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });
});

test('the real qemu-img is there, otherwise nothing is proven', () => {
  expect(realQemuImg()).toContain('qemu-img');
});
