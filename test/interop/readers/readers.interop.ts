/** Chains of all block sizes and with long tables, read by dissect.archive and by check_vbk.py. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatBytes } from '../../../src/core/units.ts';
import { BLOCK_SIZES_BYTES } from '../../../src/container/write/containerWriter.ts';
import { backupImages } from '../../../src/sessions/backup/backupImages.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { restoreImages } from '../../../src/sessions/restore/restoreImages.ts';
import { noise, prose } from '../../helpers/bytes/random.ts';
import { IS_LONG_FORM } from '../../helpers/longForm.ts';
import { expectIdentical } from '../bench.ts';
import { addRow } from '../environment.ts';
import {
  type CheckedChain,
  type CheckedFile,
  type CheckedItem,
  containersOf,
  isDisk,
  readIndependently,
} from './readers.ts';

/** Up to so many data pages, dissect.archive reads a vector. Longer vectors need the ×4 rule. */
const AGREED_PAGES = 2040;
const STORE_RECORDS_PER_PAGE = 68;
const PATCH_RECORDS_PER_PAGE = 77;
const TIMEOUT_MS = 900_000;

let folder = '';
let image = '';
let repository = '';
/** The restore points, each with a copy of the image at that time. */
let points: { readonly report: SessionReport; readonly copy: string; readonly sha256: string }[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  image = path.join(folder, 'disk.raw');
  repository = path.join(folder, 'repository');
  points = [];
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(offsetBytes: number, bytes: Uint8Array): void {
  const file = openSync(image, 'r+');
  writeSync(file, bytes, 0, bytes.length, offsetBytes);
  closeSync(file);
}

async function backup(blockSizeBytes?: number): Promise<SessionReport> {
  const report = await backupImages({
    images: [image],
    vmName: 'disks',
    repository,
    workers: 0,
    blockSizeBytes,
  });
  const copy = path.join(folder, `point${points.length}.raw`);
  copyFileSync(image, copy);
  const sha256 = createHash('sha256').update(readFileSync(copy)).digest('hex');
  points.push({ report, copy, sha256 });
  return report;
}

function readPoints(): CheckedChain {
  const reports = points.map(({ report }) => report);
  return readIndependently(containersOf(repository, reports));
}

function diskItem({ items }: CheckedFile): CheckedItem {
  const found = items.filter(isDisk);
  expect(found).toHaveLength(1);
  return found[0] as CheckedItem;
}

/** Every byte of every point, as the checker composes it from the chain, is right. */
function expectPoints({ chain }: CheckedChain): void {
  const read = chain.map(({ disks }) =>
    disks.filter(isDisk).map(({ size, sha256 }) => [size, sha256]),
  );
  const written = points.map(({ report, sha256 }) => [[report.disks[0]?.sizeBytes, sha256]]);
  expect(read).toEqual(written);
}

/** Restores each point in each format. The content must be right. */
async function expectRestored(formats: readonly ('raw' | 'qcow2')[]): Promise<void> {
  for (const { report, copy } of points) {
    for (const format of formats) {
      const output = mkdtempSync(path.join(folder, 'restored-'));
      const point = report.pointId;
      const where = { repository, vm: 'disks', point, output, format, workers: 0 };
      const { disks } = await restoreImages(where);
      expectIdentical({ path: disks[0]?.path ?? '', format }, copy);
      rmSync(output, { recursive: true });
    }
  }
}

/** Names, types, sizes and properties of all items are right. */
function expectItems(file: CheckedFile, at: number): void {
  const { report } = points[at] as (typeof points)[number];
  const [{ diskId, sizeBytes } = { diskId: '', sizeBytes: 0 }] = report.disks;
  const [top, ...inside] = file.items;
  expect(top).toMatchObject({ type: 'SubFolder' });
  const properties = (top?.properties ?? []).map(({ name, value }) => [name, value]);
  expect(properties).toEqual(
    expect.arrayContaining([
      ['FormatExtension', 'vbk-chain/1'],
      ['RestorePointId', report.pointId],
      ['RestorePointNumber', at + 1],
      ['RestorePointType', at === 0 ? 'Full' : 'Increment'],
      ...(at === 0 ? [] : [['ParentRestorePointId', points[at - 1]?.report.pointId]]),
    ]),
  );
  const fingerprintBytes = 8 * Math.ceil(sizeBytes / file.block_size);
  expect(inside.map(({ path: name, type, size }) => [path.basename(name), type, size])).toEqual([
    ['summary.xml', 'IntFib', expect.any(Number)],
    [diskId, at === 0 ? 'IntFib' : 'Increment', sizeBytes],
    [`fingerprints_${diskId}`, 'IntFib', fingerprintBytes],
  ]);
  expect(diskItem(file).properties).toEqual([
    { name: 'LogicalSectorSize', type: 'UInt64', value: '512' },
  ]);
}

function tell(scenario: string, details: string): void {
  for (const peer of ['dissect.archive', 'check_vbk.py']) addRow(peer, scenario, true, details);
}

describe('a chain with blocks of', () => {
  it.each(BLOCK_SIZES_BYTES.map((bytes) => [formatBytes(bytes), bytes] as const))(
    '%s is read by other software, item by item and byte by byte',
    async (name, blockBytes) => {
      const twice = prose('twice', blockBytes);
      const tail = noise('tail', 4321);
      writeFileSync(image, '');
      truncateSync(image, 6 * blockBytes + tail.length);
      write(0, noise('first', blockBytes + 5000));
      write(3 * blockBytes, Buffer.concat([twice, twice]));
      write(6 * blockBytes, tail);
      await backup(blockBytes);
      write(blockBytes + 100, prose('changed', 300));
      write(3 * blockBytes, Buffer.alloc(blockBytes));
      await backup();
      truncateSync(image, 9 * blockBytes + 512);
      write(8 * blockBytes - 5, noise('across two blocks', 10));
      await backup();

      const read = readPoints();

      expectPoints(read);
      for (const [at, file] of read.files.entries()) {
        expectItems(file, at);
        expect(file).toMatchObject({ block_size: blockBytes, warnings: [] });
        expect(file.dissect).toEqual(['unmodified reader']);
      }
      expect(read.files.map((file) => diskItem(file).changed_blocks)).toEqual([
        undefined,
        [
          { index: 1, sparse: false },
          { index: 3, sparse: true },
        ],
        // Block 6 was the short last block. It is longer now.
        [6, 7, 8].map((index) => ({ index, sparse: false })),
      ]);
      await expectRestored(['raw', 'qcow2']);
      tell(`blocks of ${name}: full, two increments`, 'all items, properties, bytes');
    },
    TIMEOUT_MS,
  );
});

/** Numbers of data pages of the longest vectors. */
function pages(file: CheckedFile): { readonly store: number; readonly patches: number } {
  const patches = diskItem(file).changed_blocks?.length ?? 0;
  return {
    store: Math.ceil(file.blocks / STORE_RECORDS_PER_PAGE),
    patches: Math.ceil(patches / PATCH_RECORDS_PER_PAGE),
  };
}

function describePages(read: CheckedChain): string {
  const [full, increment] = read.files.map(pages);
  return `full: store ${full?.store} pages; increment: patches ${increment?.patches} pages`;
}

/**
 * A block store of more than 2040 pages needs 34 GiB of distinct data with blocks of 256 KiB. So
 * the tests here add 512 bytes to the allowed block sizes. Then 70 MiB are enough.
 */
describe('tables of a chain', () => {
  const SECTOR_BYTES = 512;
  const sizes = BLOCK_SIZES_BYTES as number[];

  beforeEach(() => void sizes.push(SECTOR_BYTES));
  afterEach(() => void sizes.pop());

  /** A full of distinct blocks, then an increment with a record for almost every block. */
  async function writeChain(blockCount: number): Promise<CheckedChain> {
    const sizeBytes = blockCount * SECTOR_BYTES;
    writeFileSync(image, noise('full', sizeBytes));
    await backup(SECTOR_BYTES);
    truncateSync(image, 0);
    truncateSync(image, sizeBytes);
    for (const at of [0, sizeBytes - 10 * SECTOR_BYTES]) {
      write(at, noise(`changed at ${at}`, 10 * SECTOR_BYTES));
    }
    await backup();
    return readPoints();
  }

  if (IS_LONG_FORM) {
    it(
      'of almost 2040 pages are read by dissect.archive as it is',
      async () => {
        const read = await writeChain(136_000);

        expectPoints(read);
        const [full, increment] = read.files.map(pages);
        expect(full?.store).toBeGreaterThan(AGREED_PAGES - 12);
        expect(full?.store).toBeLessThanOrEqual(AGREED_PAGES);
        expect(increment?.patches).toBeGreaterThan(AGREED_PAGES - 300);
        expect(increment?.patches).toBeLessThanOrEqual(AGREED_PAGES);
        for (const { dissect, warnings } of read.files) {
          expect([dissect, warnings]).toEqual([['unmodified reader'], []]);
        }
        tell('tables of up to 2040 pages', describePages(read));
      },
      TIMEOUT_MS,
    );
  }

  it(
    'of more than 2040 pages are read by the ×4 rule',
    async () => {
      const read = await writeChain(158_000);

      expectPoints(read);
      const [full, increment] = read.files.map(pages);
      expect(full?.store).toBeGreaterThan(AGREED_PAGES);
      expect(increment?.patches).toBeGreaterThan(AGREED_PAGES);
      const warnings = read.files.flatMap((file) => file.warnings);
      expect(warnings.map((text) => text.replace(/.*: /, ''))).toEqual([
        '16 table pages, geometric lookup rule',
        '16 table pages, geometric lookup rule',
      ]);
      expect(read.files.map(({ dissect }) => dissect)).toEqual([
        ["dissect's _lookup_page replaced by the x4 rule"],
        ["dissect's _lookup_page replaced by the x4 rule"],
      ]);
      await expectRestored(['raw']);
      tell('tables of more than 2040 pages', describePages(read));
    },
    TIMEOUT_MS,
  );
});
