/**
 * The unix socket of the real daemon, under its well-known abstract name. Only Node 22 and later
 * reach it: Node 20 sends a name that is padded with zero bytes.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiskContent } from '../../../lab/src/dataPlane.ts';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { MIB } from '../../../src/core/units.ts';
import { ImageioClient } from '../../../src/ovirt/imageio/imageioClient.ts';
import type { ImageioOptions } from '../../../src/ovirt/imageio/imageioTransport.ts';
import { openLocal } from '../../../src/ovirt/imageio/localSocket.ts';
import { scaleTimings } from '../../../src/ovirt/timings.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { env } from '../environment.ts';
import { QemuDisk } from '../qemu/qemuDisk.ts';
import { RealImageio } from './realImageio.ts';

/** The name that the product accepts, without the zero byte before it. */
const NAME = '/org/ovirt/imageio';
const SIZE_BYTES = 8 * MIB;
const NODE_MAJOR = Number(process.versions.node.split('.')[0]);

const authority = createLabAuthority();
const folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
let plane: RealImageio;
let disk: DiskContent;

beforeAll(async () => {
  const venv = env('INTEROP_VENV');
  plane = await RealImageio.start({ folder, venv, authority, localSocket: NAME });
  disk = new QemuDisk(folder, {
    id: 'disk',
    name: 'disk',
    sizeBytes: SIZE_BYTES,
    format: 'cow',
    sparse: true,
  });
  const common = { transferId: 'tr1', inactivityTimeoutMs: 60_000, dirty: false };
  const target = disk.uploadTarget();
  await plane.addTicket({ ...common, id: 'up', target, mode: 'write' });
});

afterAll(async () => {
  await plane?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the unix socket of the daemon', () => {
  it('takes the place of TLS on its host, for writes and reads', async (context) => {
    if (NODE_MAJOR < 22) context.skip(`Node ${process.versions.node} does not reach it`);
    const options: ImageioOptions = {
      caPem: authority.caPem,
      timings: scaleTimings(1),
      connections: 2,
      direction: 'upload',
    };
    const url = `${plane.directOrigin}/images/up`;
    const overTls = await ImageioClient.open(url, options);
    const local = await openLocal(url, overTls, options, silentLogger);
    await overTls.close();
    const bytes = noise(7, 3 * MIB);

    await local?.write(bytes, MIB);
    await local?.flush();
    await local?.close();

    expect(local).toBeInstanceOf(ImageioClient);
    expect(await plane.removeTicket('up')).toBe(true);
    const target = { ...disk.uploadTarget(), diskId: disk.id };
    const common = { transferId: 'tr2', inactivityTimeoutMs: 60_000, dirty: false };
    await plane.addTicket({ ...common, id: 'down', target, mode: 'read' });
    const down = `${plane.directOrigin}/images/down`;
    const reader = await ImageioClient.open(down, { ...options, direction: 'download' });
    const near = await openLocal(down, reader, { ...options, direction: 'download' }, silentLogger);
    await reader.close();
    const back = Buffer.alloc(bytes.length);
    const read = await near?.read([{ bytes: back }], MIB);
    await near?.close();
    expect(read?.receivedBytes).toBe(bytes.length);
    expect(back.equals(bytes)).toBe(true);
  });
});
