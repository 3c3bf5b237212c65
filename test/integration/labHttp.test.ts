/** The HTTPS server that both halves of the lab share, called by undici with the lab's own CA. */
import { connect as connectTls } from 'node:tls';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { LabAuthority } from '../../lab/src/dataPlane.ts';
import { createLabAuthority } from '../../lab/src/http/certificates.ts';
import { LabFaultList } from '../../lab/src/http/faults.ts';
import { type LabHandler, LabServer } from '../../lab/src/http/server.ts';
import type { Lab, LabRequest } from '../../lab/src/types.ts';

const LAB = {} as Lab;
const TEXT = 'x'.repeat(100_000);

let authority: LabAuthority;
let faults: LabFaultList;
let records: LabRequest[];
let handle: LabHandler;
let server: LabServer;
let agent: Agent;
const dropTicket = vi.fn<() => void>();
const flipPhase = vi.fn<(request: unknown, phase: string) => void>();

beforeEach(async () => {
  authority = createLabAuthority();
  faults = new LabFaultList();
  records = [];
  handle = () => ({ status: 200, body: TEXT });
  server = await LabServer.listen({
    server: 'engine',
    identity: authority.issue(),
    faults,
    lab: () => LAB,
    describe: ({ path }) => ({ phase: path.split('/')[1] }),
    handle: (message) => handle(message),
    record: (entry) => records.push(entry),
    headers: { server: 'lab' },
    dropTicket,
    flipPhase,
  });
  agent = new Agent({ connect: { ca: authority.caPem } });
});

afterEach(async () => {
  vi.clearAllMocks();
  await agent.destroy();
  await server.close();
});

function* failingPieces(): Generator<Buffer> {
  yield Buffer.from('ab');
  throw new Error('disk gone');
}

function add(name: string): (extents: object[]) => object[] {
  return (extents) => [...extents, { name }];
}

async function get(path = '/', headers: Record<string, string> = {}): Promise<[number, string]> {
  const answer = await request(`${server.origin}${path}`, { dispatcher: agent, headers });
  return [answer.statusCode, await answer.body.text()];
}

describe('certificates', () => {
  test('are trusted with the CA of the lab, by address and by name', async () => {
    expect(await get()).toEqual([200, TEXT]);
    const named = await request(`https://localhost:${server.port}/`, { dispatcher: agent });
    expect(await named.body.text()).toBe(TEXT);
  });

  test('are not trusted with the CA of another lab', async () => {
    const stranger = new Agent({ connect: { ca: createLabAuthority().caPem } });

    await expect(request(server.origin, { dispatcher: stranger })).rejects.toThrow(/certificate/);
    await stranger.destroy();
  });
});

describe('an answer', () => {
  test('has lower-case headers and its content-length', async () => {
    const socket = connectTls({ host: '127.0.0.1', port: server.port, ca: authority.caPem });
    socket.end('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    const text = Buffer.concat(await socket.toArray()).toString();
    const head = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n').slice(1);

    expect(head).toContain('content-length: 100000');
    expect(head).toContain('content-type: text/plain; charset=UTF-8');
    expect(head).toContain('server: lab');
    expect(head).toContain('connection: close');
    expect(head.filter((line) => /^[^:]*[A-Z]/.test(line))).toEqual([]);
  });

  test('is JSON for objects and streamed in pieces when asked', async () => {
    handle = ({ path }) => {
      if (path === '/json') return { status: 201, body: { a: '1' } };
      const pieces = [Buffer.from('ab'), Buffer.from('cd')];
      return { status: 200, stream: { contentLengthBytes: 4, pieces } };
    };

    expect(await get('/json')).toEqual([201, '{"a":"1"}']);
    expect(await get('/stream')).toEqual([200, 'abcd']);
  });

  test('tells its end before the client has the last byte', async () => {
    const onEnd = vi.fn<(bytes: number, isComplete: boolean) => void>();
    handle = () => ({ status: 200, body: TEXT, onEnd });
    await get();

    expect(onEnd.mock.calls).toEqual([[TEXT.length, true]]);
  });

  test('of a source that fails is cut', async () => {
    const onEnd = vi.fn<(bytes: number, isComplete: boolean) => void>();
    handle = () => ({
      status: 200,
      onEnd,
      stream: { contentLengthBytes: 4, pieces: failingPieces() },
    });

    await expect(get()).rejects.toThrow();
    expect(onEnd.mock.calls).toEqual([[2, false]]);
  });

  test('of a handler that throws is 500 with the reason', async () => {
    handle = () => {
      throw new Error('bug of the lab');
    };

    expect(await get()).toEqual([500, expect.stringContaining('bug of the lab')]);
  });
});

describe('a fault', () => {
  test('answers instead of the work', async () => {
    const worked = vi.fn<LabHandler>();
    handle = worked;
    faults.add({ path: /a$/ }, { status: 503, body: '<html>', headers: { 'retry-after': '1' } });
    faults.add({ path: /b$/ }, { status: 400, body: { reason: 'r' } });

    expect(await get('/a')).toEqual([503, '<html>']);
    expect(await get('/b')).toEqual([400, '{"reason":"r"}']);
    expect(worked).not.toHaveBeenCalled();
  });

  test('resets before the work', async () => {
    const worked = vi.fn<LabHandler>();
    handle = worked;
    faults.add({}, { reset: true });

    await expect(get()).rejects.toThrow();
    expect(worked).not.toHaveBeenCalled();
    expect(records).toMatchObject([{ status: 0 }]);
  });

  test('cuts the connection before the head when the work is done', async () => {
    const worked = vi.fn<LabHandler>(() => ({ status: 201, body: TEXT }));
    handle = worked;
    faults.add({ times: 1 }, { cutAfterBytes: 0 });

    await expect(get()).rejects.toThrow();
    expect(worked).toHaveBeenCalledOnce();
    expect(await get()).toEqual([201, TEXT]);
  });

  test('cuts the connection after exactly that many bytes of the body', async () => {
    const onEnd = vi.fn<(bytes: number, isComplete: boolean) => void>();
    handle = () => ({ status: 200, body: TEXT, onEnd });
    faults.add({}, { cutAfterBytes: 70_000 });
    const answer = await request(server.origin, { dispatcher: agent });
    const received: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of answer.body) received.push(chunk as Buffer);
    })();

    await expect(reading).rejects.toThrow();
    expect(answer.headers['content-length']).toBe('100000');
    expect(Buffer.concat(received).length).toBe(70_000);
    expect(onEnd.mock.calls).toEqual([[70_000, false]]);
  });

  test('leaves an answer whole that is shorter than its cut', async () => {
    faults.add({}, { cutAfterBytes: 200_000 });

    expect(await get()).toEqual([200, TEXT]);
  });

  test('hangs until the server closes', async () => {
    faults.add({}, { hang: true });
    const hanging = get();
    await vi.waitFor(() => expect(records).toMatchObject([{ status: 0 }]));
    await server.close();

    await expect(hanging).rejects.toThrow();
  });

  test('waits, and calls back with the lab, before the work', async () => {
    const order: unknown[] = [];
    handle = () => {
      order.push('work');
      return { status: 200 };
    };
    const run = async (lab: Lab): Promise<void> => {
      await Promise.resolve();
      order.push(lab === LAB);
    };
    faults.add({}, { delayMs: 30, run });
    const startMs = performance.now();
    await get();

    expect(performance.now() - startMs).toBeGreaterThanOrEqual(29);
    expect(order).toEqual([true, 'work']);
  });

  test('is not waited for when the server closes', async () => {
    const run = vi.fn<() => void>();
    faults.add({}, { delayMs: 1_000_000, run });
    const waiting = get();
    await vi.waitFor(() => expect(faults.firedCount).toBe(1));
    await server.close();

    await expect(waiting).rejects.toThrow();
    expect(run).not.toHaveBeenCalled();
  });

  test('drops tickets and flips phases through its server, then the work goes on', async () => {
    faults.add({ phase: 'ready' }, { dropTicket: true, flipPhase: 'paused_system' });

    expect(await get('/ready')).toEqual([200, TEXT]);
    expect(dropTicket).toHaveBeenCalledOnce();
    expect(flipPhase).toHaveBeenCalledWith(expect.anything(), 'paused_system');
    await get('/other');
    expect(dropTicket).toHaveBeenCalledOnce();
  });

  test('hands the composed alteration of extents to the handler', async () => {
    handle = ({ corruptExtents }) => ({
      status: 200,
      body: corruptExtents?.([{ a: 1 }]) ?? 'none',
    });
    faults.add({ nth: 1 }, { corruptExtents: add('x') });
    faults.add({ nth: 1 }, { corruptExtents: add('y') });

    expect(await get()).toEqual([200, '[{"a":1},{"name":"x"},{"name":"y"}]']);
    expect(await get()).toEqual([200, 'none']);
  });
});

describe('a request', () => {
  test('is recorded with its query and correlation id', async () => {
    await get('/p?q=1', { 'correlation-id': 'run-1' });
    await get('/p?correlation_id=run-2');

    expect(records).toMatchObject([
      { server: 'engine', method: 'GET', path: '/p?q=1', status: 200, correlationId: 'run-1' },
      { correlationId: 'run-2' },
    ]);
  });

  test('comes with its whole body', async () => {
    handle = ({ body, method }) => ({ status: 200, body: `${method} ${body.length}` });
    const answer = await request(server.origin, {
      dispatcher: agent,
      method: 'PUT',
      body: Buffer.alloc(3_000_000),
    });

    expect(await answer.body.text()).toBe('PUT 3000000');
  });

  test('whose body ends early is still answered', async () => {
    handle = ({ body, headers }) => ({
      status: 400,
      body: `${headers['content-length']} ${body.length}`,
      headers: { connection: 'close' },
    });
    const socket = connectTls({ host: '127.0.0.1', port: server.port, ca: authority.caPem });
    socket.end('PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc');

    expect(Buffer.concat(await socket.toArray()).toString()).toMatch(/400[^]*10 3$/);
  });
});

describe('connections', () => {
  test('can all be cut while the port stays open', async () => {
    faults.add({ nth: 1 }, { hang: true });
    const hanging = get();
    await vi.waitFor(() => expect(records.length).toBe(1));
    server.destroyConnections();

    await expect(hanging).rejects.toThrow();
    expect(await get()).toEqual([200, TEXT]);
  });

  test('are refused after the close', async () => {
    await server.close();
    await server.close();

    await expect(get()).rejects.toThrow(/ECONNREFUSED/);
  });
});
