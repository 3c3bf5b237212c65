/** Life of tickets and connections in the lab's imageio. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import { type ImageioRig, startImageio } from '../helpers/labImageio.ts';
import { filled, G, labDisk } from '../helpers/labDisks.ts';

const FORBIDDEN = 'You are not allowed to access this resource: ';
const FIRST = { headers: { range: 'bytes=0-99' } };

let rig: ImageioRig;

beforeEach(async () => {
  rig = await startImageio();
});

afterEach(async () => {
  await rig.close();
});

/** A ticket whose image no socket buffer can hold. */
async function addLargeTicket(): Promise<void> {
  await rig.addTicket({ target: labDisk({ sizeBytes: 256 * MIB }).uploadTarget() });
}

async function assertForbidden(path: string, method: string, reason: string): Promise<void> {
  const answer = await rig.call(path, { method, agent: rig.agent() });
  expect(answer).toMatchObject({ status: 403, text: FORBIDDEN + reason });
  expect(answer.headers['connection']).toBe('close');
}

describe('403, which closes the connection, meets', () => {
  test.each([
    ['GET', 't9'],
    ['OPTIONS', 't9'],
    ['PUT', 't9'],
    ['GET', 't9/extents'],
    ['GET', 't9/checksum'],
  ])('a ticket that does not exist (%s %s)', async (method, path) => {
    await assertForbidden(path, method, 'No such ticket t9');
  });

  test.each(['PUT', 'PATCH'])('%s with a read ticket', async (method) => {
    await rig.addTicket();
    await assertForbidden('t1', method, 'Transfer=tr1 forbids write');
  });

  test('a ticket that has expired, until it is extended', async () => {
    await rig.close();
    rig = await startImageio({ ticketLifeMs: 200 });
    await rig.addTicket();
    await vi.waitFor(async () => {
      await assertForbidden('t1/extents', 'GET', 'Transfer=tr1 expired');
    });

    // On a busy machine the request may come after the ticket has ended.
    await vi.waitFor(async () => {
      rig.imageio.extendTicket('t1');
      expect((await rig.call('t1/extents')).status).toBe(200);
    });
  });

  test('a ticket that is being removed', async () => {
    await addLargeTicket();
    const reader = await rig.stalledRead();
    expect(await rig.imageio.removeTicket('t1')).toBe(false);

    await assertForbidden('t1', 'OPTIONS', 'Transfer=tr1 was canceled');
    reader.destroy();
  });

  test('a ticket that was removed', async () => {
    await rig.addTicket();
    await rig.call('t1', FIRST);
    expect(await rig.imageio.removeTicket('t1')).toBe(true);
    expect(await rig.imageio.removeTicket('t1')).toBe(true);

    expect(await rig.imageio.ticketStatus('t1')).toBeUndefined();
    await assertForbidden('t1', 'GET', 'No such ticket t1');
  });
});

describe('a write ticket', () => {
  test('reads as well', async () => {
    await rig.addUpload();

    expect((await rig.call('t1', FIRST)).status).toBe(206);
    expect((await rig.call('t1/extents')).status).toBe(200);
    expect((await rig.call('t1/checksum?algorithm=sha256')).status).toBe(200);
  });
});

describe('the status of a ticket', () => {
  test('counts covered bytes once', async () => {
    await rig.addTicket();
    for (const range of ['bytes=0-99', 'bytes=50-149', 'bytes=0-99', 'bytes=1000-1009']) {
      await rig.call('t1', { headers: { range } });
    }

    expect(await rig.imageio.ticketStatus('t1')).toMatchObject({
      active: false,
      transferredBytes: 160,
    });
  });

  test('counts what was written and zeroed', async () => {
    await rig.addUpload();
    await rig.call('t1', { method: 'PUT', body: filled(G, 1) });
    await rig.call('t1', {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ op: 'zero', offset: G, size: 2 * G }),
    });

    expect((await rig.imageio.ticketStatus('t1'))?.transferredBytes).toBe(3 * G);
  });

  test('counts the part of an answer that was cut', async () => {
    await rig.addTicket();
    rig.faults.add({}, { cutAfterBytes: 10 });

    await expect(rig.call('t1', FIRST)).rejects.toThrow();
    expect(await rig.imageio.ticketStatus('t1')).toMatchObject({
      active: false,
      transferredBytes: 10,
    });
  });

  test('is active, and not idle, while an answer is on its way', async () => {
    await addLargeTicket();
    const reader = await rig.stalledRead();

    expect(await rig.imageio.ticketStatus('t1')).toMatchObject({ active: true, idleMs: 0 });
    reader.destroy();
    await vi.waitFor(async () =>
      expect((await rig.imageio.ticketStatus('t1'))?.active).toBe(false),
    );
  });

  test('is idle since the last operation or OPTIONS, whatever extents are asked for', async () => {
    await rig.addTicket();
    const idleMs = async (): Promise<number> =>
      (await rig.imageio.ticketStatus('t1'))?.idleMs ?? Number.NaN;
    const addedMs = performance.now();
    await rig.call('t1/extents');
    const sinceMs = performance.now() - addedMs;
    expect(await idleMs()).toBeGreaterThanOrEqual(sinceMs);
    for (const touch of [{ method: 'OPTIONS' }, FIRST]) {
      await vi.waitFor(async () => expect(await idleMs()).toBeGreaterThan(20));
      const startMs = performance.now();
      await rig.call('t1', touch);
      expect(await idleMs()).toBeLessThanOrEqual(performance.now() - startMs);
    }
  });
});

describe('the proxy', () => {
  test('serves the same tickets on another port', async () => {
    await rig.addTicket();
    const { directOrigin, proxyOrigin } = rig.imageio;
    const answer = await rig.call('t1', { ...FIRST, origin: proxyOrigin });

    expect(proxyOrigin).not.toBe(directOrigin);
    expect(answer.status).toBe(206);
    expect((await rig.imageio.ticketStatus('t1'))?.transferredBytes).toBe(100);
  });
});

describe('traffic', () => {
  test('is counted by disk and only when an operation has succeeded', async () => {
    await rig.addUpload();
    await rig.call('t1', FIRST);
    await rig.call('t1', FIRST);
    await rig.call('t1', { headers: { range: 'bytes=-1' } });
    await rig.call('t1', { method: 'PUT', body: 'abc' });
    rig.faults.add({ nth: 1 }, { cutAfterBytes: 50 });
    await expect(rig.call('t1', FIRST)).rejects.toThrow();
    const { traffic } = rig.imageio;

    expect([...traffic.readBytes]).toEqual([['d1', 200]]);
    expect([...traffic.writtenBytes]).toEqual([['d1', 3]]);
    expect([...traffic.zeroedBytes]).toEqual([]);
    traffic.reset();
    expect([traffic.readBytes.size, traffic.maxConnections]).toEqual([0, 0]);
  });

  test('knows the highest number of connections to one ticket', async () => {
    await rig.addTicket();
    const [one, other] = [rig.agent(), rig.agent()];
    await rig.call('t1', { ...FIRST, agent: one });
    await rig.call('t1', { ...FIRST, agent: other });
    await rig.call('t1', { ...FIRST, agent: one });

    expect(rig.imageio.traffic.maxConnections).toBe(2);
  });
});

test('requests are recorded with the ticket in their path', async () => {
  await rig.addTicket();
  await rig.call('t1/extents?context=zero');

  expect(rig.records).toMatchObject([
    { server: 'imageio', method: 'GET', path: '/images/t1/extents?context=zero', status: 200 },
  ]);
});
