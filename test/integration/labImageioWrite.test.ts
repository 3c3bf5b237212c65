/** Writes to the lab's imageio: PUT, PATCH and refusals. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LabStorage } from '../../lab/src/disks/labDisk.ts';
import { type ImageioRig, startImageio } from '../helpers/labImageio.ts';
import { filled, G, labDisk } from '../helpers/labDisks.ts';

const SIZE = 8 * G + 100;
const JSON_TYPE = { 'content-type': 'application/json' };

let rig: ImageioRig;

beforeEach(async () => {
  rig = await startImageio();
  await rig.addUpload();
});

afterEach(async () => {
  await rig.close();
});

function patch(message: unknown): Parameters<ImageioRig['call']>[1] {
  return { method: 'PATCH', headers: JSON_TYPE, body: JSON.stringify(message) };
}

describe('PUT', () => {
  test.each([
    ['without a position at 0', {}, 0],
    ['at its start', { 'content-range': `bytes ${G}-${G + 2}/${SIZE}` }, G],
    ['whatever its other numbers', { 'content-range': `bytes ${G}-*/*` }, G],
  ])('writes %s', async (_, headers, offsetBytes) => {
    const answer = await rig.call('t1?flush=n', { method: 'PUT', headers, body: 'abc' });

    expect(answer).toMatchObject({ status: 200, text: '' });
    expect(rig.disk.read(offsetBytes, 4)).toEqual(
      Buffer.concat([Buffer.from('abc'), filled(1, offsetBytes === 0 ? 0 : 1)]),
    );
  });

  test.each([
    ['an invalid position', { 'content-range': 'bytes=0-2/*' }, 't1', 400],
    ['a range beyond the end', { 'content-range': `bytes ${SIZE - 2}-*/*` }, 't1', 416],
    ['an unknown flush', {}, 't1?flush=maybe', 400],
  ])('with %s is refused and writes nothing', async (_, headers, path, status) => {
    const before = rig.disk.digest();
    const answer = await rig.call(path, { method: 'PUT', headers, body: 'abc' });

    expect(answer.status).toBe(status);
    expect(rig.disk.digest()).toBe(before);
  });

  test('without a length is 400', async () => {
    const head = 'PUT /images/t1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n';

    expect(await rig.talk(`${head}transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 400 [^]*Content-Length/,
    );
  });

  test('with a short body writes what came and is 400', async () => {
    const text = await rig.talk(
      'PUT /images/t1 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabcdef',
    );

    expect(text).toMatch(/^HTTP\/1.1 400 [^]*Requested 10 bytes, available 6 bytes\n$/);
    expect(rig.disk.read(0, 6).toString()).toBe('abcdef');
  });

  test('beyond the room of the storage is 500', async () => {
    const target = labDisk({ storage: new LabStorage(G) }).uploadTarget();
    await rig.addUpload({ id: 't2', target });
    const first = await rig.call('t2', { method: 'PUT', body: filled(G, 1) });
    const second = await rig.call('t2', { method: 'PUT', body: filled(2 * G, 1) });

    expect([first.status, second.status]).toEqual([200, 500]);
    expect(second.text).toMatch(/^Server failed to perform the request, check logs/);
  });
});

describe('PATCH', () => {
  test('zeroes a range, ignores other keys', async () => {
    const answer = await rig.call(
      't1',
      patch({ op: 'zero', offset: G, size: G, flush: false, x: 1 }),
    );

    expect(answer).toMatchObject({ status: 200, text: '' });
    expect(rig.disk.read(G, G)).toEqual(Buffer.alloc(G));
    expect(rig.disk.read(2 * G, 1)).toEqual(filled(1, 2));
  });

  test('flushes', async () => {
    expect((await rig.call('t1', patch({ op: 'flush' }))).status).toBe(200);
  });

  test.each([
    ['no size', { op: 'zero', offset: 0 }, 400],
    ['an unknown operation', { op: 'trim' }, 400],
    ['a negative offset', { op: 'zero', offset: -1, size: 1 }, 400],
    ['a range beyond the end', { op: 'zero', offset: SIZE, size: 1 }, 416],
  ])('with %s is refused', async (_, message, status) => {
    const answer = await rig.call('t1', patch(message));

    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain('\n');
  });

  test('of broken JSON is 400, whatever its type is said to be', async () => {
    const broken = await rig.call('t1', { method: 'PATCH', headers: JSON_TYPE, body: '{' });
    const untyped = await rig.call('t1', { method: 'PATCH', body: '{"op":"flush"}' });

    expect([broken.status, untyped.status]).toEqual([400, 200]);
  });
});
