/** Restores of damaged points: the rest is restored, and every damaged byte is told. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PRODUCTION_SLOT_FORMAT, slotOffsetOf } from '../../src/container/format/layout.ts';
import {
  restoreImages,
  type RestoreImagesOptions,
  type RestoreReport,
} from '../../src/sessions/restore/restoreImages.ts';
import { onDiskStart } from '../helpers/onDiskStart.ts';
import { BLOCK_BYTES, blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { type BlockToFetch, composeAll, rot } from '../helpers/faults/bitRot.ts';
import { FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { openFilesIn } from '../helpers/faults/leaks.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { modeOf, pointsOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { fingerprintExtent } from '../helpers/faults/metadataRot.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const TAIL = Buffer.from('the last block is short');
const withTail = (letters: string): Buffer => Buffer.concat([blocks(letters), TAIL]);
/** Images `a` and `b` at each point of one chain. Upper case is stored plain, lower case as LZ4. */
const POINTS = [
  { a: withTail('ACbdE'), b: blocks('XyZ') },
  { a: withTail('ACFd0'), b: blocks('XwZ') },
  { a: withTail('ACFg0'), b: blocks('XwZ') },
] as const;
const [, , LAST] = POINTS;

let repository = '';
let output = '';
beforeEach(async () => {
  repository = temp.path('repository');
  output = temp.path('out');
  for (const point of POINTS) await addPoint(point);
});

async function addPoint(
  content: { readonly a: Buffer; readonly b: Buffer },
  mode?: 'full',
): Promise<void> {
  const images = [writeImage(temp.path('a'), content.a), writeImage(temp.path('b'), content.b)];
  await backup(repository, images, mode ? { mode, blockSizeBytes: BLOCK_BYTES } : {});
}

async function restored(options: Partial<RestoreImagesOptions> = {}): Promise<RestoreReport> {
  return await restoreImages({ repository, vm: VM, point: '3', output, workers: 0, ...options });
}

/** The container of a point, by its number. */
function containerOf(number: number): string {
  const point = pointsOf(repository).find((one) => one.number === number);
  return path.join(vmFolderOf(repository), point?.fileName ?? '');
}

/** The stored block of a disk that point `number` needs. */
async function storedBlock(alias: string, index: number, number = 3): Promise<BlockToFetch> {
  const { points, places, stored } = await composeAll(vmFolderOf(repository));
  const pointId = points.find((point) => point.number === number)?.pointId;
  const found = places.find(
    (place) =>
      place.pointId === pointId &&
      place.alias === alias &&
      place.offsetBytes === index * BLOCK_BYTES,
  );
  const block = stored.get(found?.stored ?? '');
  return block ?? expect.unreachable(`no block ${index} of ${alias}`);
}

/** Flips a bit in the stored bytes of blocks of a disk, as point 3 needs them. */
async function damage(alias: string, ...indexes: readonly number[]): Promise<void> {
  const found = await Promise.all(indexes.map((index) => storedBlock(alias, index)));
  rot(vmFolderOf(repository), found, 5);
}

/** The content with zeros at these blocks. */
function without(content: Buffer, ...indexes: readonly number[]): Buffer {
  const copy = Buffer.from(content);
  for (const index of indexes)
    copy
      .subarray(index * BLOCK_BYTES)
      .subarray(0, BLOCK_BYTES)
      .fill(0);
  return copy;
}

function expectImages(expected: Readonly<Record<string, Buffer>>): void {
  for (const [name, content] of Object.entries(expected)) {
    expect(readFileSync(path.join(output, name)).equals(content), name).toBe(true);
  }
}

/** Holes of a report, as `alias first+count code`. */
function holesIn({ holes }: RestoreReport): string[] {
  return holes.map(
    ({ alias, offsetBytes, lengthBytes, code }) =>
      `${alias} ${offsetBytes / BLOCK_BYTES}+${lengthBytes / BLOCK_BYTES} ${code}`,
  );
}

describe('--skip-damaged', () => {
  test('restores everything except damaged blocks, and tells them', async () => {
    await damage('a', 0, 1, 3);
    await damage('b', 1);

    const report = await restored({ skipDamaged: true });

    expectImages({ a: without(LAST.a, 0, 1, 3), b: without(LAST.b, 1) });
    expect(holesIn(report)).toEqual([
      'a 0+2 INTEGRITY_DIGEST_MISMATCH',
      expect.stringMatching(/^a 3\+1 INTEGRITY_(CRC_MISMATCH|DECODE_FAILED)$/),
      expect.stringMatching(/^b 1\+1 INTEGRITY_(CRC_MISMATCH|DECODE_FAILED)$/),
    ]);
    const [a, b] = report.disks;
    expect(a).toMatchObject({
      holeBytes: 3 * BLOCK_BYTES,
      holesPath: path.join(output, 'a.holes'),
    });
    expect(a?.writtenBytes).toBe(BLOCK_BYTES + TAIL.length);
    expect(b?.writtenBytes).toBe(2 * BLOCK_BYTES);
    expect(messageCodes(report)).toEqual(['REPO-521', 'REPO-521']);
    expect(readdirSync(output).toSorted()).toEqual(['a', 'a.holes', 'b', 'b.holes']);
    expect(openFilesIn(repository)).toEqual([]);
  });

  test('lists the holes as a mapfile of ddrescue', async () => {
    await damage('a', 0, 1, 5);

    const { holes } = await restored({ skipDamaged: true });

    expect(readFileSync(path.join(output, 'a.holes'), 'utf8').split('\n')).toEqual([
      '# Mapfile of GNU ddrescue, written by ovirt-cbt restore.',
      '# "-": damaged bytes of the disk, zeros in the image. "+": all other bytes.',
      '# current_pos  current_status',
      '0x00000000     +',
      '#      pos        size  status',
      `# INTEGRITY_DIGEST_MISMATCH: ${holes[0]?.reason}`,
      '0x00000000  0x00080000  -',
      '0x00080000  0x000C0000  +',
      `# ${holes[1]?.code}: ${holes[1]?.reason}`,
      '0x00140000  0x00000017  -',
      '',
    ]);
    expect(modeOf(path.join(output, 'a.holes'))).toBe('600');
  });

  test('of a sound point lists nothing', async () => {
    const report = await restored({ skipDamaged: true });

    expectImages(LAST);
    expect(report).toMatchObject({ holes: [], failedDisks: [], messages: [] });
    expect(readdirSync(output).toSorted()).toEqual(['a', 'b']);
  });

  test.each([
    ['missing', 'CHAIN_PARENT_MISSING', (file: string) => rmSync(file)],
    ['cut', 'FORMAT_TRUNCATED', (file: string) => truncateSync(file, statSync(file).size / 2)],
    [
      'without a readable snapshot',
      'INTEGRITY_CRC_MISMATCH',
      (file: string) => {
        for (const slot of [0, 1]) flipBit(file, slotOffsetOf(PRODUCTION_SLOT_FORMAT, slot) + 8);
      },
    ],
    [
      'foreign',
      'INTEGRITY_DIGEST_MISMATCH',
      (file: string) => {
        writeFileSync(file, readFileSync(containerOf(3)));
      },
    ],
  ])('restores around an increment that is %s', async (_what, code, harm) => {
    harm(containerOf(2));

    const report = await restored({ skipDamaged: true });

    // Block 4 of `a` became zero in the lost file. The fingerprint index tells that.
    expectImages({ a: without(LAST.a, 2), b: without(LAST.b, 1) });
    expect(holesIn(report)).toEqual([`a 2+1 ${code}`, `b 1+1 ${code}`]);
    expect(messageCodes(report)).toEqual(['REPO-522', 'REPO-521', 'REPO-521']);
  });

  test('restores what the increments have when the full is missing', async () => {
    rmSync(containerOf(1));

    const report = await restored({ skipDamaged: true });

    expectImages({ a: without(LAST.a, 0, 1, 5), b: without(LAST.b, 0, 2) });
    expect(
      report.holes.map(({ alias, offsetBytes, lengthBytes }) => [alias, offsetBytes, lengthBytes]),
    ).toEqual([
      ['a', 0, 2 * BLOCK_BYTES],
      ['a', 5 * BLOCK_BYTES, TAIL.length],
      ['b', 0, BLOCK_BYTES],
      ['b', 2 * BLOCK_BYTES, BLOCK_BYTES],
    ]);
  });

  test('restores all of a file that is only cut within the copy of its metadata', async () => {
    truncateSync(containerOf(3), statSync(containerOf(3)).size - 1);
    truncateSync(containerOf(1), statSync(containerOf(1)).size - 1);
    await expectCode(restored(), 'FORMAT_TRUNCATED');

    const report = await restored({ skipDamaged: true });

    expectImages(LAST);
    expect(report).toMatchObject({ holes: [], messages: [] });
  });

  test('names another point when the file of the point itself is lost', async () => {
    rmSync(containerOf(3));

    const error = await expectCode(restored({ skipDamaged: true }), 'CHAIN_PARENT_MISSING');

    expect(error.hint).toContain('restore another point');
    expect((await restored({ point: '2' })).holes).toEqual([]);
  });

  test('without a fingerprint index leaves holes where blocks are damaged', async () => {
    flipBit(containerOf(3), (await fingerprintExtent(containerOf(3), 0)).offsetBytes + 9);
    await damage('a', 1);

    const report = await restored({ skipDamaged: true });

    expectImages({ a: without(LAST.a, 1), b: LAST.b });
    expect(messageCodes(report)).toEqual(['REPO-508', 'REPO-521']);
  });

  test('restores the other disks when the map of one is lost', async () => {
    flipBit(containerOf(3), (await fingerprintExtent(containerOf(3), 0)).offsetBytes + 9);
    rmSync(containerOf(2));

    const report = await restored({ skipDamaged: true });

    expectImages({ b: without(LAST.b, 1) });
    expect(report.failedDisks).toMatchObject([{ alias: 'a', code: 'CHAIN_PARENT_MISSING' }]);
    expect(messageCodes(report)).toEqual(['REPO-522', 'REPO-508', 'REPO-524', 'REPO-521']);
    expect(readdirSync(output).toSorted()).toEqual(['b', 'b.holes']);
    const alone = restored({ skipDamaged: true, disks: ['a'], output: temp.path('alone') });
    await expectCode(alone, 'CHAIN_PARENT_MISSING');
  });

  test('writes qcow2', async () => {
    await damage('a', 1);

    const report = await restored({ skipDamaged: true, format: 'qcow2', disks: ['a'] });

    const image = path.join(output, 'a.qcow2');
    execFileSync('qemu-img', ['convert', '-O', 'raw', image, path.join(output, 'a.raw')]);
    const raw = readFileSync(path.join(output, 'a.raw'));
    expect(raw.subarray(0, LAST.a.length).equals(without(LAST.a, 1))).toBe(true);
    expect(report.disks[0]?.holesPath).toBe(`${image}.holes`);
    expect(readdirSync(output).toSorted()).toEqual(['a.qcow2', 'a.qcow2.holes', 'a.raw']);
  });

  test.each(['a.holes', 'b.holes'])('never overwrites %s', async (name) => {
    const precious = writeImage(path.join(temp.make('out'), name), Buffer.from('precious'));

    await expectCode(restored({ skipDamaged: true }), 'USAGE_OUTPUT_EXISTS');

    expect(readFileSync(precious, 'utf8')).toBe('precious');
    expect(readdirSync(output)).toEqual([name]);
  });

  test('that is aborted leaves nothing', async () => {
    await damage('a', 1);
    const stop = new AbortController();

    const work = restored({
      skipDamaged: true,
      signal: stop.signal,
      onProgress: onDiskStart(() => stop.abort()),
    });

    await expectCode(work, 'CANCELLED');
    expect(readdirSync(output)).toEqual([]);
  });

  test('leaves no list when the image cannot have its name', async () => {
    await damage('a', 1);
    const files = await FaultyFiles.install(output);
    files.failWhere((name, file, args) =>
      name === 'link' && !file.includes('.holes') && String(args[1]).endsWith('/a')
        ? 'ENOSPC'
        : undefined,
    );

    await expectCode(
      restored({ skipDamaged: true }).finally(() => files.uninstall()),
      'OUTPUT_FULL',
    );

    expect(readdirSync(output)).toEqual([]);
  });
});

describe('--skip-damaged on a device that fails', () => {
  let files: FaultyFiles;
  beforeEach(async () => {
    files = await FaultyFiles.install(repository);
  });
  afterEach(() => files.uninstall());

  /** Reads of the first stored bytes of block 0 of `a` fail, the first `times` times. */
  async function failBlock(code: string, times = Infinity): Promise<void> {
    const { fileName, offsetBytes, storedBytes } = await storedBlock('a', 0);
    let left = times;
    files.failWhere((name, file, args) => {
      const isBlock = args[3] === offsetBytes && args[2] === storedBytes;
      const isFile = path.basename(file) === fileName;
      return name === 'read' && isFile && isBlock && left-- > 0 ? code : undefined;
    });
  }

  test('leaves a hole where the device cannot read', async () => {
    await failBlock('EIO');

    const report = await restored({ skipDamaged: true });

    expectImages({ a: without(LAST.a, 0), b: LAST.b });
    expect(holesIn(report)).toEqual(['a 0+1 REPOSITORY_IO']);
    expect(report.holes[0]?.reason).toContain('EIO');
  });

  test('reads a second time', async () => {
    await failBlock('EIO', 1);

    expect((await restored({ skipDamaged: true })).holes).toEqual([]);
    expectImages(LAST);
  });

  test.each(['EACCES', 'EMFILE'])('ends because of %s', async (code) => {
    await failBlock(code);

    const error = await expectCode(restored({ skipDamaged: true }), 'REPOSITORY_IO');

    expect(error.details['errno']).toBe(code);
    expect(readdirSync(output)).toEqual([]);
  });

  test('ends when the fingerprint index cannot be reached', async () => {
    const { offsetBytes } = await fingerprintExtent(containerOf(3), 0);
    files.failWhere((name, file, args) =>
      name === 'read' && file === containerOf(3) && args[3] === offsetBytes ? 'EACCES' : undefined,
    );

    await expectCode(restored({ skipDamaged: true }), 'REPOSITORY_IO');

    expect(readdirSync(output)).toEqual([]);
  });

  test('ends when a file of the chain may not be opened', async () => {
    files.failWhere((name, file) =>
      name === 'open' && file === containerOf(2) ? 'EACCES' : undefined,
    );

    await expectCode(restored({ skipDamaged: true }), 'REPOSITORY_IO');
  });
});

describe('--damaged-from', () => {
  /** A new chain, which holds `E` where point 3 has `C`. */
  beforeEach(async () => {
    await addPoint({ a: withTail('AEFg0'), b: LAST.b }, 'full');
  });

  test('takes blocks that agree with the fingerprint index', async () => {
    await damage('a', 0, 2, 5);
    await damage('b', 0, 1, 2);

    const report = await restored({ damagedFrom: '4' });

    expectImages(LAST);
    expect(report).toMatchObject({ holes: [], messages: [] });
    expect(report.disks.map(({ takenBlocks }) => takenBlocks)).toEqual([3, 3]);
    expect(report.disks.map(({ writtenBytes }) => writtenBytes)).toEqual([
      4 * BLOCK_BYTES + TAIL.length,
      3 * BLOCK_BYTES,
    ]);
    expect(readdirSync(output).toSorted()).toEqual(['a', 'b']);
  });

  test('leaves a block that differs there damaged', async () => {
    await damage('a', 0, 1, 3);

    const report = await restored({ damagedFrom: '4', skipDamaged: true });

    expectImages({ a: without(LAST.a, 1), b: LAST.b });
    expect(holesIn(report)).toEqual(['a 1+1 INTEGRITY_DIGEST_MISMATCH']);
    expect(report.disks[0]).toMatchObject({ takenBlocks: 2, holeBytes: BLOCK_BYTES });
  });

  test('ends without --skip-damaged when a block differs there', async () => {
    await damage('a', 0, 1);

    const error = await expectCode(restored({ damagedFrom: '4' }), 'INTEGRITY_DIGEST_MISMATCH');

    expect(error.message).toContain('1 damaged blocks are left');
    expect(error.hint).toContain('--skip-damaged');
    expect(readdirSync(output)).toEqual([]);
  });

  test('takes the blocks of a missing file', async () => {
    rmSync(containerOf(2));

    const report = await restored({ damagedFrom: '4' });

    expectImages(LAST);
    expect(report.disks.map(({ takenBlocks }) => takenBlocks)).toEqual([1, 1]);
    expect(messageCodes(report)).toEqual(['REPO-522']);
  });

  test('takes no damaged block', async () => {
    await damage('a', 0);
    rot(vmFolderOf(repository), [await storedBlock('a', 0, 4)], 7);

    const report = await restored({ damagedFrom: '4', skipDamaged: true });

    expect(holesIn(report)).toEqual(['a 0+1 INTEGRITY_DIGEST_MISMATCH']);
    expect(report.disks[0]?.takenBlocks).toBe(0);
  });

  test('takes nothing without a fingerprint index, and says so', async () => {
    flipBit(containerOf(3), (await fingerprintExtent(containerOf(3), 0)).offsetBytes + 9);
    await damage('a', 0);

    const report = await restored({ damagedFrom: '4', skipDamaged: true });

    expectImages({ a: without(LAST.a, 0), b: LAST.b });
    expect(messageCodes(report)).toEqual(['REPO-508', 'REPO-523', 'REPO-521']);
    expect(report.disks[0]?.takenBlocks).toBe(0);
  });

  test('takes nothing from a point without the disk, and says so', async () => {
    await backup(repository, [writeImage(temp.path('b'), LAST.b)]);
    await damage('a', 0);

    const report = await restored({ damagedFrom: '5', skipDamaged: true });

    expectImages({ a: without(LAST.a, 0), b: LAST.b });
    expect(messageCodes(report)).toEqual(['REPO-525', 'REPO-521']);
    expect(report.messages[0]?.text).toMatch(/^Disk a \(.+\) is not part of restore point 5 /);
  });

  test.each([
    ['3', 'USAGE_INVALID_OPTION'],
    ['17', 'USAGE_NOT_FOUND'],
  ] as const)('refuses point %s', async (damagedFrom, code) => {
    await expectCode(restored({ damagedFrom }), code);
  });
});

test('without an option for damage, the hint names --skip-damaged', async () => {
  await damage('a', 0);

  const error = await expectCode(restored(), 'INTEGRITY_DIGEST_MISMATCH');

  expect(error.hint).toContain('--skip-damaged');
  expect(readdirSync(output)).toEqual([]);
  rmSync(containerOf(2));
  const missing = await expectCode(restored(), 'CHAIN_PARENT_MISSING');
  expect(missing.hint).toContain('--skip-damaged');
});
