/** The lab's imageio and the real daemon get the same requests, over disks with equal history. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import type { DiskContent, LabImageioPlane, TicketTarget } from '../../../lab/src/dataPlane.ts';
import { LabFaultList } from '../../../lab/src/http/faults.ts';
import { downloadTarget } from '../../../lab/src/disks/frozenView.ts';
import { LabImageio } from '../../../lab/src/imageio/imageio.ts';
import { LabDiskState, LabStorage } from '../../../lab/src/disks/labDisk.ts';
import type { Lab } from '../../../lab/src/types.ts';
import { KIB, MIB } from '../../../src/core/units.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { env } from '../environment.ts';
import { QemuDisk } from '../qemu/qemuDisk.ts';
import { RealImageio } from './realImageio.ts';

const SIZE_BYTES = 4 * MIB + 12 * KIB;

interface Side {
  readonly plane: LabImageioPlane;
  readonly disk: DiskContent;
  readonly upload: DiskContent;
}

interface Call {
  readonly method?: 'GET' | 'PUT' | 'PATCH' | 'OPTIONS' | 'DELETE' | 'POST' | 'HEAD';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

interface Answer {
  readonly status: number;
  readonly allow: unknown;
  readonly range: unknown;
  readonly isClosing: boolean;
  readonly length: unknown;
  readonly type: unknown;
  readonly body: unknown;
}

const authority = createLabAuthority();
const agent = new Agent({ connect: { ca: authority.caPem } });
let folder = '';
let sides: readonly [Side, Side];

/** Gives a disk its history and freezes it. Ranges written after bitmap b are dirty. */
function freezeWithHistory(disk: DiskContent): TicketTarget {
  disk.write(0, noise(1, 512 * KIB));
  disk.freeze({ bases: [], bitmap: 'a' }).release?.();
  disk.write(MIB, noise(2, 64 * KIB));
  disk.freeze({ bases: [], bitmap: 'b' }).release?.();
  disk.write(2 * MIB, noise(3, 128 * KIB));
  disk.zero(0, 128 * KIB);
  disk.write(SIZE_BYTES - 100, noise(4, 100));
  return downloadTarget(disk.id, disk.freeze(), ['b']);
}

async function addTickets({ plane, disk, upload }: Side): Promise<void> {
  const common = { transferId: 'tr1', inactivityTimeoutMs: 60_000 };
  const target = freezeWithHistory(disk);
  const plain: TicketTarget = {
    ...target,
    image: target.image && { ...target.image, bitmaps: undefined },
  };
  await plane.addTicket({ ...common, id: 'dirty', target, mode: 'read', dirty: true });
  await plane.addTicket({ ...common, id: 'full', target: plain, mode: 'read', dirty: false });
  const up = upload.uploadTarget();
  await plane.addTicket({ ...common, id: 'up', target: up, mode: 'write', dirty: false });
}

function specs(name: string): ConstructorParameters<typeof QemuDisk>[1] {
  return { id: name, name, sizeBytes: SIZE_BYTES, format: 'cow', sparse: true };
}

function labDisk(name: string): LabDiskState {
  return new LabDiskState({ ...specs(name), storage: new LabStorage(1024 * MIB) });
}

async function startLabSide(): Promise<Side> {
  const plane = await LabImageio.start({
    identity: authority.issue(),
    faults: new LabFaultList(),
    behaviour: { oldImageio: false },
    lab: () => ({}) as Lab,
    record: () => {},
  });
  return { plane, disk: labDisk('disk'), upload: labDisk('upload') };
}

async function startRealSide(): Promise<Side> {
  const venv = env('INTEROP_VENV');
  const localSocket = `/ovirt-cbt/${process.pid}`;
  const plane = await RealImageio.start({ folder, venv, authority, localSocket });
  const [disk, upload] = [specs('disk'), specs('upload')].map((spec) => new QemuDisk(folder, spec));
  if (!disk || !upload) throw new Error('no disks');
  return { plane, disk, upload };
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  sides = [await startLabSide(), await startRealSide()];
  for (const side of sides) await addTickets(side);
});

afterAll(async () => {
  await agent.destroy();
  for (const { plane } of sides ?? []) await plane.close();
  rmSync(folder, { recursive: true, force: true });
});

function plain(text: string): unknown {
  try {
    const value = JSON.parse(text) as object;
    // Each server has its own name. Only its first byte is compared: 0 for an abstract name.
    if (!('unix_socket' in value)) return value;
    return { ...value, unix_socket: String(value.unix_socket)[0] };
  } catch {
    return text;
  }
}

async function ask({ plane }: Side, call: Call): Promise<Answer> {
  const { method = 'GET', path: where, headers = {}, body = null } = call;
  const url = `${plane.directOrigin}${where}`;
  const answer = await request(url, { method, headers, body, dispatcher: agent });
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  const { allow, connection } = answer.headers;
  const type = String(answer.headers['content-type'] ?? '').split(';')[0];
  return {
    status: answer.statusCode,
    allow,
    isClosing: connection === 'close',
    type,
    // Python's JSON has spaces, so its length differs.
    length: type === 'application/json' ? undefined : answer.headers['content-length'],
    range: answer.headers['content-range'],
    body: type === 'application/octet-stream' ? bytes.toString('base64') : plain(bytes.toString()),
  };
}

const json = { 'content-type': 'application/json' };
const patch = (path: string, order: object | string): Call => ({
  method: 'PATCH',
  path,
  headers: json,
  body: typeof order === 'string' ? order : JSON.stringify(order),
});
const put = (path: string, range: string | undefined, body: Buffer): Call => ({
  method: 'PUT',
  path,
  headers: range === undefined ? {} : { 'content-range': range },
  body,
});
const get = (path: string, range?: string): Call => ({
  path,
  ...(range !== undefined && { headers: { range } }),
});

const CALLS: Readonly<Record<string, Call>> = {
  'OPTIONS of a read ticket': { method: 'OPTIONS', path: '/images/full' },
  'OPTIONS of a write ticket': { method: 'OPTIONS', path: '/images/up' },
  'OPTIONS of the server': { method: 'OPTIONS', path: '/images/*' },
  'OPTIONS of no ticket': { method: 'OPTIONS', path: '/images/none' },
  'zero extents': get('/images/full/extents'),
  'zero extents of a dirty ticket': get('/images/dirty/extents?context=zero'),
  'dirty extents': get('/images/dirty/extents?context=dirty'),
  'dirty extents of a full ticket': get('/images/full/extents?context=dirty'),
  'an unknown context': get('/images/full/extents?context=other'),
  'extents of no ticket': get('/images/none/extents'),
  'a whole image': get('/images/full'),
  'a range': get('/images/full', 'bytes=65530-65545'),
  'a range to the end': get('/images/full', `bytes=${SIZE_BYTES - 10}-`),
  'a range to the last byte': get('/images/full', `bytes=${SIZE_BYTES - 10}-${SIZE_BYTES - 1}`),
  'a range beyond the end': get('/images/full', `bytes=${SIZE_BYTES - 10}-${SIZE_BYTES}`),
  'a range that starts at the end': get('/images/full', `bytes=${SIZE_BYTES}-${SIZE_BYTES + 1}`),
  'an open range that starts at the end': get('/images/full', `bytes=${SIZE_BYTES}-`),
  'an open range behind the end': get('/images/full', `bytes=${SIZE_BYTES + 10}-`),
  'a range backwards': get('/images/full', 'bytes=10-5'),
  'a suffix range': get('/images/full', 'bytes=-10'),
  'two ranges': get('/images/full', 'bytes=0-1,5-6'),
  'a range that is none': get('/images/full', 'lines=1-2'),
  'a read of no ticket': get('/images/none', 'bytes=0-1'),
  'a read of an empty name': get('/images/'),
  'a read that closes': get('/images/full?close=y', 'bytes=0-1'),
  'checksum algorithms': get('/images/full/checksum/algorithms'),
  'a checksum': get('/images/full/checksum?algorithm=sha256'),
  'a checksum of blocks': get('/images/full/checksum?algorithm=sha256&block_size=1048576'),
  'a checksum of odd blocks': get('/images/full/checksum?algorithm=sha256&block_size=1000'),
  'an unknown algorithm': get('/images/full/checksum?algorithm=nonsense'),
  'an unknown path': get('/other'),
  'an unknown method': { method: 'POST', path: '/images/full', body: 'x' },
  'a DELETE': { method: 'DELETE', path: '/images/full' },
  'a write with a read ticket': put('/images/full', 'bytes 0-1/*', Buffer.from('ab')),
  'a zero with a read ticket': patch('/images/full', { op: 'zero', offset: 0, size: 10 }),
  'a flush with a read ticket': patch('/images/full', { op: 'flush' }),
  'a write': put('/images/up?flush=n', 'bytes 65536-65545/*', Buffer.from('0123456789')),
  'a write without a range': put('/images/up?flush=n', undefined, Buffer.from('start')),
  'a write with an open end': put('/images/up?flush=n', 'bytes 100-*/*', Buffer.from('abc')),
  'a write with a bad range': put('/images/up', 'bytes nonsense', Buffer.from('abc')),
  'a write beyond the end': put(
    '/images/up',
    `bytes ${SIZE_BYTES - 1}-${SIZE_BYTES}/*`,
    Buffer.from('ab'),
  ),
  'a write with a bad flush': put('/images/up?flush=maybe', 'bytes 0-1/*', Buffer.from('ab')),
  'a zero': patch('/images/up', { op: 'zero', offset: 65_536, size: 5, flush: false }),
  'a zero without offset': patch('/images/up', { op: 'zero', size: 2 }),
  'a zero without size': patch('/images/up', { op: 'zero', offset: 0 }),
  'a zero of nothing': patch('/images/up', { op: 'zero', offset: 0, size: 0 }),
  'a zero before the start': patch('/images/up', { op: 'zero', offset: -1, size: 1 }),
  'a zero beyond the end': patch('/images/up', { op: 'zero', offset: SIZE_BYTES, size: 1 }),
  'a zero with a text for a size': patch('/images/up', { op: 'zero', size: '5' }),
  'an unknown operation': patch('/images/up', { op: 'other' }),
  'an operation that is no JSON': patch('/images/up', 'nonsense'),
  'an operation without a type': { method: 'PATCH', path: '/images/up', body: '{"op":"flush"}' },
  'a flush': patch('/images/up', { op: 'flush' }),
  'a read with a write ticket': get('/images/up', 'bytes=65536-65550'),
  'extents of what was written': get('/images/up/extents'),
};

/** Only the status must agree here: no client reads these texts, and Node lacks some algorithms. */
const ONLY_STATUS = new Set([
  'checksum algorithms',
  'an unknown algorithm',
  'a zero without size',
  'a zero before the start',
  'a zero with a text for a size',
  'an unknown operation',
  'an operation that is no JSON',
]);

describe('the lab answers like the real ovirt-imageio to', () => {
  it.each(Object.entries(CALLS))('%s', async (name, call) => {
    const [lab, real] = [await ask(sides[0], call), await ask(sides[1], call)];

    expect(lab.status).toBe(real.status);
    if (!ONLY_STATUS.has(name)) expect(lab).toEqual(real);
  });
});
