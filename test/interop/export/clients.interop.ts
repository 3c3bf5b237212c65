/** Debian's clients read exports of a full, an increment and merged points. */
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MIB, TIB } from '../../../src/core/units.ts';
import { backupImages } from '../../../src/sessions/backup/backupImages.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { expectIdentical, mib } from '../bench.ts';
import { addRow } from '../environment.ts';
import { qemuImg, qemuIo } from '../qemu/qemu.ts';
import {
  dataBlocks,
  listExports,
  nbdinfoMap,
  qemuMap,
  type Range,
  run,
  withCow,
  withFuse,
} from './clients.ts';
import { ExportServer } from './exportServer.ts';
import {
  DATA_DISK,
  GUEST_NAME,
  type GuestChain,
  type GuestPoint,
  makeGuestChain,
  ROOT_DISK,
} from './guestDisks.ts';

/** Why nbdfuse is left out, or empty. run.sh says it too. */
const WITHOUT_FUSE = process.env['INTEROP_WITHOUT_FUSE'] ?? '';
const BLOCK_BYTES = MIB;

let folder = '';
let chain: GuestChain;
let server: ExportServer | undefined;
let rows: (readonly [peer: string, scenario: string, details: string])[] = [];

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  chain = await makeGuestChain(folder);
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

afterEach(({ task }) => {
  for (const [peer, scenario, details] of rows) {
    addRow(peer, scenario, task.result?.state !== 'fail', details);
  }
  rows = [];
  server?.kill();
  server = undefined;
});

async function serve({ repository, pointId }: GuestPoint): Promise<ExportServer> {
  const socket = path.join(folder, 'nbd.sock');
  const place = ['--repo', repository, '--vm', GUEST_NAME, '--point', pointId];
  server = await ExportServer.start([...place, '--socket', socket]);
  return server;
}

/** Zeros are told as zeros, block by block, and data as data. */
function expectMap(ranges: readonly Range[], image: string): void {
  const { size } = statSync(image);
  const told = new Set<number>();
  let at = 0;
  for (const { offsetBytes, lengthBytes, zero } of ranges) {
    expect(offsetBytes).toBe(at);
    at += lengthBytes;
    if (zero) continue;
    for (let k = Math.floor(offsetBytes / BLOCK_BYTES); k * BLOCK_BYTES < at; k++) told.add(k);
  }
  expect(at).toBe(size);
  expect(told).toEqual(dataBlocks(image, size, BLOCK_BYTES));
}

function expectSound(disk: string, image: string): void {
  if (disk === ROOT_DISK) run('e2fsck', '-fn', image);
  else run('xfs_repair', '-n', '-f', image);
}

/** Reads an export with each client. The restored image is the reference. */
function expectExport(uri: string, disk: string, image: string): void {
  const copy = path.join(folder, 'copy.raw');
  const qcow2 = path.join(folder, 'copy.qcow2');
  const facts = { name: disk, sizeBytes: statSync(image).size, isReadOnly: true };
  expect(listExports(uri)).toContainEqual(facts);
  const map = nbdinfoMap(uri);
  expectMap(map, image);
  expect(qemuMap(uri)).toEqual(map);
  run('nbdcopy', uri, copy);
  run('cmp', copy, image);
  expectIdentical({ path: uri, format: 'raw' }, image);
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', uri, qcow2);
  expectIdentical({ path: qcow2, format: 'qcow2' }, image);
  expectSound(disk, copy);
  for (const file of [copy, qcow2]) rmSync(file);
}

describe.each([0, 1, 2, 3])('point %d of the guest', (which) => {
  it('is the restored image for each client', async () => {
    const point = chain.points[which] as GuestPoint;
    const exported = await serve(point);

    for (const disk of [ROOT_DISK, DATA_DISK]) {
      expectExport(exported.uri(disk), disk, path.join(point.images, disk));
    }
    expect(listExports(exported.uri(ROOT_DISK))).toHaveLength(2);
    const { exitCode, failures, bytesRead } = await exported.stop();

    expect([exitCode, failures]).toEqual([0, 0]);
    const what = `export of a ${point.what}, ext4 and xfs`;
    rows.push(['nbdinfo', `${what}: list, map`, 'maps as the data']);
    rows.push(['nbdcopy', `${what}; e2fsck, xfs_repair`, 'equal, clean']);
    rows.push(['qemu-img', `${what}: compare, convert, map`, `${mib(bytesRead)} MiB with nbdcopy`]);
  });
});

it('takes writes in an overlay of nbdkit, and stays as it is', async () => {
  const point = chain.points[1] as GuestPoint;
  const exported = await serve(point);
  const image = path.join(point.images, ROOT_DISK);
  const changed = path.join(folder, 'changed.raw');
  run('cp', '--sparse=always', image, changed);
  const writes = ['write -q -P 0x5a 1000000 300000', 'write -q -z 20M 3M', 'flush'];

  await withCow(folder, exported.uri(ROOT_DISK), (uri) => {
    for (const file of [uri, changed]) qemuIo({ path: file, format: 'raw' }, ...writes);
    qemuIo({ path: uri, format: 'raw' }, 'read -q -P 0x5a 1000000 300000', 'read -q -P 0 20M 3M');
    expectIdentical({ path: uri, format: 'raw' }, changed);
  });

  expectIdentical({ path: exported.uri(ROOT_DISK), format: 'raw' }, image);
  expect(await exported.stop()).toMatchObject({ exitCode: 0, bytesWritten: 0 });
  rows.push(['nbdkit', '--filter=cow over an export: written and read back', 'export unchanged']);
});

it.skipIf(WITHOUT_FUSE !== '')('is a file with nbdfuse, whose file system is sound', async () => {
  const point = chain.points[2] as GuestPoint;
  const exported = await serve(point);

  for (const disk of [ROOT_DISK, DATA_DISK]) {
    await withFuse(folder, exported.uri(disk), (file) => {
      run('cmp', file, path.join(point.images, disk));
      expectSound(disk, file);
    });
    rows.push(['nbdfuse', `file of an export compared and checked: ${disk}`, 'equal, clean']);
  }

  expect(await exported.stop()).toMatchObject({ exitCode: 0, failures: 0 });
});

it('moves only the data of a sparse disk of 2 TiB', async () => {
  const image = path.join(folder, 'sparse.raw');
  const copy = path.join(folder, 'sparse-copy.raw');
  const repository = path.join(folder, 'sparse-repository');
  writeFileSync(image, '');
  truncateSync(image, 2 * TIB);
  const file = await open(image, 'r+');
  // The last places lie across a border of two blocks, and at the end of the disk.
  const places = [0, TIB / 2 - 4096, TIB + 12_345, 2 * TIB - 8192];
  for (const [k, place] of places.entries()) await file.write(noise(k, 8192), 0, 8192, place);
  await file.close();
  const { pointId } = await backupImages({
    repository,
    vmName: GUEST_NAME,
    images: [image],
    blockSizeBytes: BLOCK_BYTES,
  });
  const exported = await serve({ what: '', repository, pointId, images: folder });

  run('nbdcopy', exported.uris[0] ?? '', copy);
  const { exitCode, bytesRead } = await exported.stop();

  expect(exitCode).toBe(0);
  expect(statSync(copy).size).toBe(2 * TIB);
  expectIdentical({ path: copy, format: 'raw' }, image);
  // Five blocks hold data.
  expect(bytesRead).toBe(5 * BLOCK_BYTES);
  expect(statSync(copy).blocks * 512).toBeLessThanOrEqual(5 * BLOCK_BYTES);
  for (const one of [image, copy]) rmSync(one);
  rows.push(['nbdcopy', 'export of a sparse disk of 2 TiB', `${mib(bytesRead)} MiB served`]);
});
