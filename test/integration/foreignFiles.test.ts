/**
 * Chains of files that others wrote: restored, verified, opened and inspected without repository.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { SessionMessage } from '../../src/core/messages.ts';
import { openFiles } from '../../src/points/openFiles.ts';
import { inspectFiles } from '../../src/sessions/files/inspectFiles.ts';
import { restoreFiles } from '../../src/sessions/files/restoreFiles.ts';
import { verifyFiles } from '../../src/sessions/files/verifyFiles.ts';
import {
  blockOf,
  type ChainOptions,
  DISK_NAME,
  diskAfter,
  diskItem,
  fileWithBlock,
  FOREIGN_BLOCK_BYTES,
  foreignChain,
  id,
  MACHINE_FOLDER,
  MACHINE_NAME,
  plainOf,
} from '../helpers/bytes/foreignChains.ts';
import {
  type ForeignBlock,
  type ForeignItem,
  type ForeignMachine,
  foreignSummary,
  textItem,
  writeForeign,
} from '../helpers/bytes/foreignWriter.ts';
import { noise, wordText } from '../helpers/bytes/random.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const NAMES = ['base.vbk', 'one.vib', 'two.vib'];

function writeFiles(contents: readonly Buffer[]): string[] {
  return contents.map((content, at) => {
    const file = temp.path(NAMES[at] ?? `${at}.vib`);
    writeFileSync(file, content);
    return file;
  });
}

function chain(options: ChainOptions = {}): string[] {
  return writeFiles(foreignChain(options));
}

async function restored(
  files: readonly string[],
  options: Partial<Parameters<typeof restoreFiles>[0]> = {},
): Promise<Buffer> {
  const output = temp.path('out');
  const report = await restoreFiles({ files, output, workers: 0, ...options });
  return readFileSync(report.disks[0]?.path ?? '');
}

function machineAt(at: number, linkId?: string): ForeignMachine {
  const facts = { folder: MACHINE_FOLDER, name: MACHINE_NAME, id: id(200 + at), objectId: id(9) };
  return { ...facts, linkId };
}

/** A file of a chain in which the machine may be left out. */
function fileAt(at: number, disk: ForeignItem | undefined, linkId?: string): Buffer {
  const machines = disk ? [machineAt(at, linkId)] : [];
  const storage = { id: id(at), linkId: at === 1 ? undefined : id(at - 1) };
  const xml = textItem('summary.xml', foreignSummary({ storage, machines }));
  const items = disk ? [xml, disk] : [xml];
  const folders = [{ name: disk ? MACHINE_FOLDER : 'other machine', items }];
  return writeForeign({ blockSizeBytes: FOREIGN_BLOCK_BYTES, folders });
}

function zlibOf(plain: Buffer): Buffer {
  const file = fileWithBlock({ plain, method: 'zlib' }, { blockSizeBytes: 8192 });
  // The stream lies at the first place after header and slots, and ends somewhere before its
  // padding.
  const at = 4096 + 2 * 0x80000;
  return file.subarray(at, at + 4000);
}

describe('a chain of others', () => {
  it.each<[string, ChainOptions]>([
    ['zlib', { method: 'zlib' }],
    ['zlib of low level', { method: 'zlibLow' }],
    ['zstd', { method: 'zstd' }],
    ['LZ4', { method: 'lz4' }],
    ['plain blocks', { method: 'plain' }],
    ['version 9', { version: 9 }],
    ['version 9 and zstd', { version: 9, method: 'zstd' }],
    ['clusters of 512 B', { clusterAlign: 0, method: 'zstd' }],
  ])('with %s is restored at each point', async (_name, options) => {
    const files = chain(options);

    for (const increments of [0, 1, 2]) {
      const output = temp.path(`out-${increments}`);
      const disk = await restored(files.slice(0, increments + 1), { output });
      expect(disk.equals(diskAfter(increments))).toBe(true);
    }
  });

  it.each(['zlib', 'zstd'] as const)('with %s is restored in threads', async (method) => {
    const disk = await restored(chain({ method }), { workers: 2 });

    expect(disk.equals(diskAfter(2))).toBe(true);
  });

  it('whose stored blocks are larger than plain ones is restored in threads', async () => {
    const blockSizeBytes = 256 * 1024;
    const plain = noise(9, blockSizeBytes);
    const stored = deflateSync(plain, { level: 0 });
    const file = fileWithBlock({ plain, method: 'zlib', stored }, { blockSizeBytes });

    expect(stored.length).toBeGreaterThan(blockSizeBytes);
    expect((await restored(writeFiles([file]), { workers: 2 })).equals(plain)).toBe(true);
  });

  it('is verified, with all blocks of all files', async () => {
    const report = await verifyFiles({ files: chain({ method: 'zstd' }), workers: 0 });

    expect(report).toMatchObject({ outcome: 'ok', damageCount: 0, damage: [] });
    // Disk blocks, summary.xml and GuestMembers.xml.
    expect(report.files.map((file) => file.checkedBlocks)).toEqual([6, 3, 4]);
    expect(report.files.map((file) => file.vmName)).toEqual(Array(3).fill(MACHINE_NAME));
  });

  it('is opened as a point like those of a repository', async () => {
    const files = chain({ method: 'zstd' });
    await using point = await openFiles(files, { workers: 0 });
    const [disk] = point.disks;

    expect(point).toMatchObject({ vmName: MACHINE_NAME, number: 3, id: id(102), vmId: id(1000) });
    expect(disk?.id).toBe(DISK_NAME);
    const all = await disk?.read(0, disk.virtualSizeBytes);
    expect(all?.equals(diskAfter(2))).toBe(true);
    const extents = [];
    for await (const extent of disk?.extents() ?? []) extents.push(extent);
    expect(extents.map(({ zero, lengthBytes }) => [zero, lengthBytes])).toEqual([
      [false, 2 * FOREIGN_BLOCK_BYTES],
      [true, FOREIGN_BLOCK_BYTES],
      [false, FOREIGN_BLOCK_BYTES],
      [true, 3 * FOREIGN_BLOCK_BYTES + 1000],
    ]);
    await point.close();
    await expectCode(disk?.read(0, 1) ?? Promise.resolve(), 'USAGE_WRONG_STATE');
  });

  it('is inspected', async () => {
    const report = await inspectFiles({ files: chain({ version: 9, method: 'zstdHigh' }) });

    expect(report.files.map((file) => file.formatVersion)).toEqual([9, 9, 9]);
    expect(report.files[0]?.compressions).toEqual({ plain: 2, zstd: 4 });
    expect(report.files.flatMap((file) => file.problems)).toEqual([]);
    expect(report.vms).toMatchObject([
      {
        name: MACHINE_NAME,
        folder: MACHINE_FOLDER,
        disks: [{ name: DISK_NAME, content: 'increment' }],
        problem: undefined,
      },
    ]);
  });

  it('that tells no ids is taken in the order given, with a warning', async () => {
    const files = chain({ tells: 'nothing' });
    const output = temp.path('out');

    const report = await restoreFiles({ files, output, workers: 0 });

    expect(messageCodes(report)).toEqual(['REPO-540', 'REPO-540']);
    expect(readFileSync(report.disks[0]?.path ?? '').equals(diskAfter(2))).toBe(true);
  });

  it('of a version that nobody has seen is read with a warning', async () => {
    const messages: SessionMessage[] = [];
    const onMessage = (message: SessionMessage): void => void messages.push(message);

    const disk = await restored(chain({ version: 11 }), { onMessage });

    expect(disk.equals(diskAfter(2))).toBe(true);
    expect(messageCodes({ messages })).toEqual(['REPO-542', 'REPO-542', 'REPO-542']);
  });
});

describe('files of others', () => {
  it.each([
    [
      'swapped increments',
      [0, 2, 1],
      'USAGE_FILE_ORDER',
      /order: \/.*base\.vbk \/.*one\.vib \/.*two\.vib$/,
    ],
    [
      'the full last',
      [1, 2, 0],
      'USAGE_FILE_ORDER',
      /order: \/.*base\.vbk \/.*one\.vib \/.*two\.vib$/,
    ],
    ['without the full', [1, 2], 'CHAIN_PARENT_MISSING', 'the full first'],
    ['with a gap', [0, 2], 'CHAIN_PARENT_MISSING', 'the full first'],
    ['given twice', [0, 1, 1], 'USAGE_FILE_ORDER', 'once'],
  ] as const)('%s are refused', async (_name, order, code, hint) => {
    const files = chain();
    const given = order.map((at) => files[at] ?? '');
    const output = temp.path('out');

    const error = await expectCode(restoreFiles({ files: given, output, workers: 0 }), code);

    expect(error.hint).toMatch(hint);
    expect(existsSync(output)).toBe(false);
    await expectCode(verifyFiles({ files: given, workers: 0 }), code);
    await expectCode(openFiles(given), code);
  });

  it('with a copy of a file are refused', async () => {
    const [base = '', one = ''] = chain();
    writeFileSync(temp.path('copy.vib'), readFileSync(one));

    const files = [base, one, temp.path('copy.vib')];
    await expectCode(openFiles(files), 'USAGE_FILE_ORDER');
  });

  it('with one of another VM are refused', async () => {
    const [base = '', one = ''] = chain();
    const other = [{ name: 'other', items: [diskItem(new Map([[0, 1]]), 'file', 'zlib')] }];
    const file = temp.path('other.vbk');
    writeFileSync(file, writeForeign({ blockSizeBytes: FOREIGN_BLOCK_BYTES, folders: other }));

    const error = await expectCode(openFiles([base, file, one]), 'USAGE_FILE_ORDER');

    expect(error.message).toContain('other.vbk does not hold the VM of one.vib; its VMs: "other"');
  });

  it('with other block sizes are refused', async () => {
    const files = chain({ tells: 'nothing' });
    const larger = { blockSizeBytes: 2 * FOREIGN_BLOCK_BYTES };
    const items = [{ ...diskItem(new Map(), 'increment', 'zlib'), sizeBytes: 8000 }];
    const folders = [{ name: MACHINE_FOLDER, items }];
    writeFileSync(files[1] ?? '', writeForeign({ ...larger, folders }));

    await expectCode(openFiles(files.slice(0, 2)), 'USAGE_FILE_ORDER');
  });

  it('with a second VM name it when one has to be chosen', async () => {
    const files = chain({ second: 'second machine' });

    const error = await expectCode(openFiles(files), 'USAGE_INVALID_OPTION');

    expect(error.hint).toContain('--vm');
    expect(error.hint).toContain('web server');
    expect(error.hint).toContain('second machine');
    const none = await expectCode(openFiles(files, { vm: 'third' }), 'USAGE_NOT_FOUND');
    expect(none.hint).toContain('second machine');
  });

  it.each([['second machine'], [id(1001)]])(
    'give a VM that began in an increment: %s',
    async (vm) => {
      const disk = await restored(chain({ second: 'second machine' }), { vm });

      expect(disk.equals(diskAfter(1))).toBe(true);
    },
  );

  it('give the first VM of several', async () => {
    const files = chain({ second: 'second machine', method: 'zstd' });

    expect((await restored(files, { vm: MACHINE_NAME })).equals(diskAfter(2))).toBe(true);
    expect((await verifyFiles({ files, workers: 0 })).outcome).toBe('ok');
  });

  it('may leave a VM out of one increment when ids prove it', async () => {
    const full = diskItem(new Map([[0, 1]]), 'file', 'zlib');
    const change = diskItem(new Map([[1, 2]]), 'increment', 'zlib');
    const files = writeFiles([fileAt(1, full), fileAt(2, undefined), fileAt(3, change, id(201))]);

    const disk = await restored(files);

    expect(disk.subarray(0, FOREIGN_BLOCK_BYTES).equals(plainOf(1))).toBe(true);
    expect(disk.subarray(FOREIGN_BLOCK_BYTES, 2 * FOREIGN_BLOCK_BYTES).equals(plainOf(2))).toBe(
      true,
    );
  });

  it.each(['external', 'patch'] as const)('with a disk of type %s are refused', async (kind) => {
    const folders = [{ name: MACHINE_FOLDER, items: [diskItem(new Map(), kind, 'zlib')] }];
    const spec = { blockSizeBytes: FOREIGN_BLOCK_BYTES, folders };

    const error = await expectCode(
      openFiles(writeFiles([writeForeign(spec)])),
      'FORMAT_UNSUPPORTED',
    );

    expect(error.message).toContain(kind);
  });

  it('give image files as they are, and say so', async () => {
    const disk = diskItem(new Map([[0, 1]]), 'file', 'zlib', 'web.vhdx');
    const folders = [{ name: MACHINE_FOLDER, items: [disk] }];
    const files = writeFiles([writeForeign({ blockSizeBytes: FOREIGN_BLOCK_BYTES, folders })]);
    const output = temp.path('out');

    const report = await restoreFiles({ files, output, workers: 0 });

    expect(messageCodes(report)).toEqual(['REPO-541']);
    expect(readdirSync(output)).toEqual(['web.vhdx']);
    const { vms } = await inspectFiles({ files });
    expect(vms[0]?.disks[0]?.imageKind).toBe('vhdx');
    const options = { files, output: temp.path('other'), format: 'qcow2' as const };
    await expectCode(restoreFiles(options), 'USAGE_INVALID_OPTION');
  });

  it('without disks are refused', async () => {
    const folders = [{ name: MACHINE_FOLDER, items: [textItem('summary.xml', '<OibSummary />')] }];
    const files = writeFiles([writeForeign({ blockSizeBytes: FOREIGN_BLOCK_BYTES, folders })]);

    await expectCode(openFiles(files), 'USAGE_NOT_FOUND');
  });

  it.each([
    ['no file', [], 'USAGE_INVALID_OPTION'],
    ['a file that does not exist', ['missing.vbk'], 'USAGE_NOT_FOUND'],
    ['a folder', ['.'], 'USAGE_NOT_FOUND'],
  ] as const)('that are %s are refused', async (_name, names, code) => {
    await expectCode(openFiles(names.map((name) => temp.path(name))), code);
  });
});

describe('a damaged file of others', () => {
  const BAD_ZLIB: ForeignBlock = { ...blockOf(1, 'zlib'), stored: Buffer.alloc(900, 3) };
  const CUT_ZSTD = { ...blockOf(1, 'zstd'), stored: blockOf(1, 'zstd').stored?.subarray(0, -9) };
  const OTHER_LENGTH = { plain: plainOf(1), method: 'zlib', stored: zlibOf(wordText(1, 5000)) };

  it.each<[string, ForeignBlock, string]>([
    ['a bad zlib stream', BAD_ZLIB, 'INTEGRITY_DECODE_FAILED'],
    ['a cut zstd frame', CUT_ZSTD, 'INTEGRITY_DECODE_FAILED'],
    ['a longer block', OTHER_LENGTH as ForeignBlock, 'INTEGRITY_DECODE_FAILED'],
    [
      'other bytes',
      { ...blockOf(1, 'zstd'), stored: blockOf(2, 'zstd').stored },
      'INTEGRITY_DIGEST_MISMATCH',
    ],
  ])('with %s ends the restore, and verify reports it', async (_name, block, code) => {
    const files = writeFiles([fileWithBlock(block)]);
    const output = temp.path('out');

    const restoring = restoreFiles({ files, output, workers: 0 });
    await expect(restoring).rejects.toMatchObject({ code });
    const verified = await verifyFiles({ files, workers: 0 });

    expect(readdirSync(output)).toEqual([]);
    expect(verified.outcome).toBe('damaged');
    expect(verified.damage).toMatchObject([{ code, fileName: 'base.vbk', blockId: 0 }]);
  });

  it('is restored with holes when that is asked for', async () => {
    const contents = foreignChain({ method: 'zstd', tells: 'nothing' });
    const base = contents[0] as Buffer;
    // The stored bytes of the second block of the full.
    const at = base.indexOf(blockOf(1, 'zstd').stored as Buffer);
    base.fill(0, at, at + 100);
    const output = temp.path('out');
    const options = { files: writeFiles(contents.slice(0, 2)), output, workers: 0 };

    await expect(restoreFiles(options)).rejects.toThrow('stored block');
    const report = await restoreFiles({ ...options, skipDamaged: true });

    expect(report.holes).toMatchObject([{ offsetBytes: 0, lengthBytes: FOREIGN_BLOCK_BYTES }]);
    const expected = diskAfter(1).fill(0, 0, FOREIGN_BLOCK_BYTES);
    expect(readFileSync(report.disks[0]?.path ?? '').equals(expected)).toBe(true);
  });

  it('that is cut is damage for verify, and its others are verified', async () => {
    const files = chain();
    const [, one = ''] = files;
    writeFileSync(one, readFileSync(one).subarray(0, -5000));
    const output = temp.path('out');

    await expectCode(restoreFiles({ files, output, workers: 0 }), 'FORMAT_TRUNCATED');
    const report = await verifyFiles({ files, workers: 0 });

    expect(report.outcome).toBe('damaged');
    expect(report.files.map((file) => file.damageCount)).toEqual([0, 1, 0]);
    expect(report.points.map((point) => point.isDamaged)).toEqual([false, true, true]);
  });

  it('whose increments hold a disk that its full does not is damage for verify', async () => {
    const contents = foreignChain({ tells: 'nothing' });
    const items = [
      diskItem(new Map([[0, 2]]), 'increment', 'zlib'),
      diskItem(new Map([[0, 2]]), 'increment', 'zlib', 'DEV__other'),
    ];
    const folders = [{ name: MACHINE_FOLDER, items }];
    contents[1] = writeForeign({ blockSizeBytes: FOREIGN_BLOCK_BYTES, folders });
    const files = writeFiles(contents.slice(0, 2));

    const report = await verifyFiles({ files, workers: 0 });

    expect(report.damage).toMatchObject([{ code: 'INTEGRITY_DIGEST_MISMATCH' }]);
    expect(report.damage[0]?.message).toContain('DEV__other');
  });

  it.each<[string, ForeignBlock, string]>([
    ['RLE', { plain: plainOf(1), method: 'rle', stored: plainOf(1) }, 'RLE'],
    ['an encrypted block', { ...blockOf(1, 'zlib'), keyIn: 'store' }, 'encrypted'],
    ['an encrypted map entry', { ...blockOf(1, 'zlib'), keyIn: 'map' }, 'encrypted'],
  ])('is not the word for %s: it is refused by name', async (_name, block, text) => {
    const files = writeFiles([fileWithBlock(block)]);
    const output = temp.path('out');

    const restoring = await expectCode(
      restoreFiles({ files, output, workers: 0 }),
      'FORMAT_UNSUPPORTED',
    );
    const verifying = await expectCode(verifyFiles({ files, workers: 0 }), 'FORMAT_UNSUPPORTED');

    expect(restoring.message).toContain(text);
    expect(verifying.message).toContain(text);
    expect(readdirSync(output)).toEqual([]);
  });
});
