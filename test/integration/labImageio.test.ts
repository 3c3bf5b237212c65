/** Rules of imageio that the lab keeps: requests for data and their answers. */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ImageioRig, startImageio } from '../helpers/labImageio.ts';
import { filled, G, labDisk } from '../helpers/labDisks.ts';

const SIZE = 8 * G + 100;

let rig: ImageioRig;

beforeEach(async () => {
  rig = await startImageio();
});

afterEach(async () => {
  await rig.close();
});

describe('OPTIONS', () => {
  test('of a read ticket offers reading', async () => {
    await rig.addTicket();
    const answer = await rig.call('t1', { method: 'OPTIONS' });

    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ allow: 'OPTIONS,GET', server: 'imageio/2.5.3' });
    expect(JSON.parse(answer.text)).toEqual({
      unix_socket: '\0/org/ovirt/imageio',
      features: ['checksum', 'extents'],
      max_readers: 8,
      max_writers: 8,
    });
  });

  test('of a write ticket offers writing', async () => {
    await rig.addUpload();
    const answer = await rig.call('t1', { method: 'OPTIONS' });

    expect(answer.headers['allow']).toBe('OPTIONS,GET,PUT,PATCH');
    expect(JSON.parse(answer.text)).toMatchObject({
      features: ['checksum', 'extents', 'flush', 'zero'],
    });
  });

  test('of * needs no ticket and names no limits', async () => {
    const answer = await rig.call('*', { method: 'OPTIONS' });

    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).not.toHaveProperty('max_readers');
  });
});

describe('GET', () => {
  beforeEach(async () => {
    await rig.addTicket();
  });

  test('without a range sends the whole image', async () => {
    const answer = await rig.call('t1');

    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      'content-length': String(SIZE),
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment',
    });
    expect(answer.headers).not.toHaveProperty('content-range');
    expect(answer.body.equals(rig.disk.read(0, SIZE))).toBe(true);
  });

  test.each([
    [`bytes=0-0`, 0, 1],
    [`bytes=${G - 1}-${2 * G}`, G - 1, G + 2],
    [`bytes=${8 * G}-`, 8 * G, 100],
    [`bytes=0-${SIZE - 1}`, 0, SIZE],
  ])('of %s sends just that, with the size', async (range, offsetBytes, lengthBytes) => {
    const answer = await rig.call('t1', { headers: { range } });

    expect(answer.status).toBe(206);
    expect(answer.headers['content-range']).toBe(
      `bytes ${offsetBytes}-${offsetBytes + lengthBytes - 1}/${SIZE}`,
    );
    expect(answer.body.equals(rig.disk.read(offsetBytes, lengthBytes))).toBe(true);
  });

  test.each([
    ['beyond the end', `bytes=0-${SIZE}`, /^Requested range out of allowed range$/],
    ['that starts at the end', `bytes=${SIZE}-${SIZE}`, /^Requested range out of allowed range$/],
  ])('of a range %s is 416 with the true size', async (_, range, text) => {
    const answer = await rig.call('t1', { headers: { range } });

    expect(answer.status).toBe(416);
    expect(answer.headers).toMatchObject({
      'content-range': `bytes */${SIZE}`,
      'content-type': 'text/plain; charset=UTF-8',
    });
    expect(answer.text).toMatch(text);
  });

  test.each([
    ['a suffix', 'bytes=-5'],
    ['a range backwards', 'bytes=5-4'],
    ['a range of two parts', 'bytes=0-1,4-5'],
    ['a range in other units', 'blocks=0-1'],
  ])('of %s is 416 without the size', async (_, range) => {
    const answer = await rig.call('t1', { headers: { range } });

    expect(answer.status).toBe(416);
    expect(answer.headers).not.toHaveProperty('content-range');
  });

  test.each([
    ['at', SIZE, 206],
    ['behind', SIZE + 1, 400],
  ])('of an open range that starts %s the end has no bytes', async (_, offsetBytes, status) => {
    const answer = await rig.call('t1', { headers: { range: `bytes=${offsetBytes}-` } });

    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject({
      'content-range': `bytes ${offsetBytes}-${SIZE - 1}/${SIZE}`,
    });
  });

  test('keeps the connection, unless close=y asks otherwise', async () => {
    const kept = await rig.call('t1', { headers: { range: 'bytes=0-1' } });
    const closed = await rig.call('t1?close=y', { headers: { range: 'bytes=0-1' } });

    expect(kept.headers['connection']).toBe('keep-alive');
    expect(closed.headers['connection']).toBe('close');
  });
});

describe('extents', () => {
  test('of the zero context are contiguous and tell holes', async () => {
    await rig.addTicket();
    const expected = [
      { start: 0, length: G, zero: true, hole: true },
      { start: G, length: 2 * G, zero: false, hole: false },
      { start: 3 * G, length: G, zero: true, hole: true },
      { start: 4 * G, length: G, zero: true, hole: false },
      { start: 5 * G, length: 3 * G + 100, zero: true, hole: true },
    ];

    expect(JSON.parse((await rig.call('t1/extents?context=zero')).text)).toEqual(expected);
    expect(JSON.parse((await rig.call('t1/extents')).text)).toEqual(expected);
  });

  test('of the dirty context carry zeros', async () => {
    await rig.addTicket({ dirty: true });
    const answer = await rig.call('t1/extents?context=dirty');

    expect(answer.headers['content-type']).toBe('application/json');
    expect(JSON.parse(answer.text)).toEqual([
      { start: 0, length: G, dirty: false, zero: true },
      { start: G, length: G, dirty: false, zero: false },
      { start: 2 * G, length: G, dirty: true, zero: false },
      { start: 3 * G, length: G, dirty: false, zero: true },
      { start: 4 * G, length: G, dirty: true, zero: true },
      { start: 5 * G, length: 3 * G + 100, dirty: false, zero: true },
    ]);
  });

  test('that are dirty are 404 without a bitmap in the ticket', async () => {
    await rig.addTicket();

    expect(await rig.call('t1/extents?context=dirty')).toMatchObject({
      status: 404,
      text: 'Ticket does not support dirty extents',
    });
  });

  test('of an unknown context are 400', async () => {
    await rig.addTicket();

    expect((await rig.call('t1/extents?context=x')).status).toBe(400);
  });

  test('can be corrupted by a fault', async () => {
    await rig.addTicket();
    rig.faults.add({ diskId: 'd1', nth: 1 }, { corruptExtents: (extents) => extents.slice(1) });

    expect(JSON.parse((await rig.call('t1/extents')).text)[0]).toMatchObject({ start: G });
    expect(JSON.parse((await rig.call('t1/extents')).text)[0]).toMatchObject({ start: 0 });
  });
});

describe('checksum', () => {
  test('is the digest of the digests of all blocks', async () => {
    const disk = labDisk({ sizeBytes: 40 * G });
    disk.write(20 * G, filled(G, 3));
    await rig.addTicket({ target: disk.uploadTarget() });
    const outer = createHash('sha256');
    for (const [offsetBytes, lengthBytes] of [
      [0, 16 * G],
      [16 * G, 16 * G],
      [32 * G, 8 * G],
    ] as const) {
      outer.update(createHash('sha256').update(disk.read(offsetBytes, lengthBytes)).digest());
    }
    const answer = await rig.call('t1/checksum?algorithm=sha256&block_size=1048576');

    expect(JSON.parse(answer.text)).toEqual({
      algorithm: 'sha256',
      block_size: 1_048_576,
      checksum: outer.digest('hex'),
    });
    expect((await rig.imageio.ticketStatus('t1'))?.transferredBytes).toBe(40 * G);
  });

  test.each([
    'algorithm=md6',
    '',
    'algorithm=sha256&block_size=4096',
    'algorithm=sha256&block_size=1048577',
  ])('of %j is 400', async (query) => {
    await rig.addTicket();

    expect((await rig.call(`t1/checksum?${query}`)).status).toBe(400);
  });

  test('lists its algorithms', async () => {
    await rig.addTicket();

    expect(JSON.parse((await rig.call('t1/checksum/algorithms')).text)).toEqual({
      algorithms: ['sha256'],
    });
  });
});

describe('a request that imageio does not know', () => {
  beforeEach(async () => {
    await rig.addTicket();
  });

  test('by its path is 404', async () => {
    const text = await rig.talk('GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');

    expect(text).toMatch(/^HTTP\/1.1 404 [^]*No handler for '\/nothing'\n$/);
  });

  test('by a typo below a ticket is 403, as that is read as a ticket', async () => {
    expect(await rig.call('t1/extent')).toMatchObject({
      status: 403,
      text: expect.stringContaining('No such ticket t1/extent'),
    });
  });

  test.each([
    ['POST', 't1'],
    ['DELETE', 't1'],
    ['HEAD', 't1'],
    ['PUT', 't1/extents'],
    ['OPTIONS', 't1/extents'],
  ])('by its method is 405 (%s %s)', async (method, path) => {
    expect((await rig.call(path, { method })).status).toBe(405);
  });

  test('by the length of its line is 414', async () => {
    const line = `GET /images/${'x'.repeat(4070)} HTTP/1.1`;
    const fits = await rig.call('x'.repeat(4096 - line.length + 4070));
    const tooLong = await rig.call('x'.repeat(4096 - line.length + 4071));

    expect([fits.status, tooLong.status]).toEqual([403, 414]);
  });
});

test('an old imageio knows neither OPTIONS nor extents', async () => {
  rig.behaviour.oldImageio = true;
  await rig.addTicket();

  expect((await rig.call('t1', { method: 'OPTIONS' })).status).toBe(405);
  expect((await rig.call('t1/extents')).status).toBe(404);
  expect((await rig.call('t1', { headers: { range: 'bytes=0-1' } })).status).toBe(206);
});
