/** Writable exports: QEMU's tools write to them, and a guest boots from them. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import { expectIdentical } from '../bench.ts';
import { addRow, env } from '../environment.ts';
import { bootFromExports } from '../guest/guest.ts';
import { qemuIo } from '../qemu/qemu.ts';
import { listExports, run } from './clients.ts';
import { ExportServer, type ExportSummary } from './exportServer.ts';
import {
  DATA_DISK,
  GUEST_NAME,
  type GuestChain,
  type GuestPoint,
  makeGuestChain,
  ROOT_DISK,
  TOKEN,
} from './guestDisks.ts';

/** Emulation is slow on a machine with other work. */
const TIMEOUT_MS = 300_000;
const WRITES = [
  'write -q -P 0x11 0 512',
  'write -q -P 0x22 1234567 3000001',
  'write -q -f -P 0x33 40M 64k',
  'write -q -z 20M 3M',
  'write -q -z -u 24M 1M',
  'discard -q 30M 2M',
  'write -q -P 0x44 30M 4k',
  'flush',
];

let folder = '';
let chain: GuestChain;
let point: GuestPoint;
let server: ExportServer | undefined;
let before: Record<string, string>;
let rows: (readonly [peer: string, scenario: string, details: string])[] = [];

function overlay(): string {
  return path.join(folder, 'overlay');
}

async function serve(more: readonly string[], which: GuestPoint = point): Promise<ExportServer> {
  const socket = path.join(folder, 'nbd.sock');
  const place = ['--repo', which.repository, '--vm', GUEST_NAME, '--point', which.pointId];
  server = await ExportServer.start([...place, '--socket', socket, ...more]);
  return server;
}

/** Digest of each file below a folder. */
function digests(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const found = names
    .map((name) => path.join(root, name))
    .filter((file) => statSync(file).isFile());
  return Object.fromEntries(
    found.map((file) => [file, createHash('sha256').update(readFileSync(file)).digest('hex')]),
  );
}

async function stopped(exported: ExportServer): Promise<ExportSummary> {
  const summary = await exported.stop();
  expect([summary.exitCode, summary.failures]).toEqual([0, 0]);
  return summary;
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  chain = await makeGuestChain(folder);
  point = chain.points[1] as GuestPoint;
}, TIMEOUT_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeEach(() => {
  rows = [];
  before = digests(chain.repository);
});
afterEach(async ({ task }) => {
  server?.kill();
  rmSync(overlay(), { recursive: true, force: true });
  const isGood = task.result?.state !== 'fail';
  for (const [peer, scenario, details] of rows) addRow(peer, scenario, isGood, details);
  expect(digests(chain.repository)).toEqual(before);
  const { damageCount } = await verifyRepository({ repository: chain.repository, point: 'all' });
  expect(damageCount).toBe(0);
});

describe('a writable export', { timeout: TIMEOUT_MS }, () => {
  it('has what qemu-io writes, also after a restart with --keep', async () => {
    const expected = path.join(folder, 'expected.raw');
    run('cp', '--sparse=always', path.join(point.images, ROOT_DISK), expected);
    qemuIo({ path: expected, format: 'raw' }, ...WRITES);
    const keep = ['--writable', overlay(), '--keep'];

    const first = await serve(keep);
    const uri = first.uri(ROOT_DISK);
    expect(listExports(uri).map(({ isReadOnly }) => isReadOnly)).toEqual([false, false]);
    qemuIo({ path: uri, format: 'raw' }, ...WRITES);
    expectIdentical({ path: uri, format: 'raw' }, expected);
    const { bytesWritten } = await stopped(first);
    const second = await serve(keep);
    expectIdentical({ path: second.uri(ROOT_DISK), format: 'raw' }, expected);
    const untouched = path.join(point.images, DATA_DISK);
    expectIdentical({ path: second.uri(DATA_DISK), format: 'raw' }, untouched);
    await stopped(second);

    const other = chain.points[0] as GuestPoint;
    await expect(serve(keep, other)).rejects.toThrow('point');
    await expect(serve(['--writable', overlay()])).rejects.toThrow('USAGE_OUTPUT_EXISTS');
    rows.push(['qemu-io', 'writable export: write, FUA, zero, discard; kept', `${bytesWritten} B`]);
  });

  it('without --keep leaves nothing of what nbdcopy wrote', async () => {
    const exported = await serve(['--writable', overlay()]);
    const image = path.join(chain.points[0]?.images ?? '', DATA_DISK);

    run('nbdcopy', image, exported.uri(DATA_DISK));
    expectIdentical({ path: exported.uri(DATA_DISK), format: 'raw' }, image);
    await stopped(exported);

    expect(existsSync(overlay()) ? readdirSync(overlay()) : []).toEqual([]);
    rows.push(['nbdcopy', 'an image to a writable export', 'equal; the overlay is gone']);
  });

  it('is the root of a guest that boots twice, writes and is sound', async () => {
    const keep = ['--writable', overlay(), '--keep'];
    const socket = path.join(folder, 'nbd.sock');
    const names = [ROOT_DISK, DATA_DISK];

    const first = await serve(keep);
    const said = bootFromExports(env('INTEROP_GUEST'), socket, names);
    const { bytesWritten } = await stopped(first);
    expect(said).toContain(`root ${TOKEN}`);
    expect(said).toContain('boots 1');
    expect(said).toContain('xfs written');
    expect(said).toContain('root clean');

    const second = await serve(keep);
    const root = path.join(folder, 'booted-root.raw');
    const data = path.join(folder, 'booted-data.raw');
    run('nbdcopy', second.uri(ROOT_DISK), root);
    run('nbdcopy', second.uri(DATA_DISK), data);
    expect(said).toContain(`written ${md5InRoot(root, '/home/written')}  -`);
    expect(run('debugfs', '-R', 'ls -p /home', root)).toMatch(/\/made\//);
    expect(run('debugfs', '-R', 'ls -p /home', root)).not.toContain('a file with spaces');
    run('e2fsck', '-fn', root);
    run('xfs_repair', '-n', '-f', data);
    expect(bootFromExports(env('INTEROP_GUEST'), socket, names)).toContain('boots 2');
    await stopped(second);

    const summary = `${(bytesWritten / 2 ** 20).toFixed(1)} MiB written, repository unchanged`;
    rows.push(['guest', 'boots from a writable export, ext4 root and xfs', summary]);
  });
});

function md5InRoot(image: string, name: string): string {
  const file = path.join(folder, 'dumped');
  run('debugfs', '-R', `dump ${name} ${file}`, image);
  return createHash('md5').update(readFileSync(file)).digest('hex');
}
