/** Server-sent events of the console, over real connections. */
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { consoleEventSchema } from '../../src/console/api/schemas.ts';
import {
  bearer,
  codeOf,
  type ConsoleBench,
  logIn,
  startConsole,
  TOKENS,
} from '../helpers/console/consoleBench.ts';

const EVENTS = '/api/v1/events';

interface StreamEvent {
  readonly name: string;
  readonly data: unknown;
}

/** What has come of a stream. */
class Stream {
  readonly message: IncomingMessage;
  readonly events: StreamEvent[] = [];
  isEnded = false;
  #rest = '';

  constructor(message: IncomingMessage) {
    this.message = message;
    message.setEncoding('utf8').on('data', (text: string) => this.#add(text));
    message.on('close', () => (this.isEnded = true)).on('error', () => {});
  }

  get names(): string[] {
    return this.events.map(({ name }) => name);
  }

  async until(name: string): Promise<unknown> {
    await vi.waitFor(() => expect(this.names).toContain(name), { timeout: 30_000 });
    return this.events.find((event) => event.name === name)?.data;
  }

  async end(): Promise<void> {
    await vi.waitFor(() => expect(this.isEnded).toBe(true), { timeout: 30_000 });
  }

  #add(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const name = /^event: ([^\n]*)/m.exec(block)?.[1] ?? '';
      const data = /^data: ([^\n]*)/m.exec(block)?.[1] ?? 'null';
      this.events.push({ name, data: JSON.parse(data) });
    }
  }
}

async function streamOf(
  bench: ConsoleBench,
  headers: Readonly<Record<string, string>> = bearer('readOnly'),
): Promise<Stream> {
  return new Stream(await bench.open(EVENTS, { headers }));
}

describe('an event stream', () => {
  it('begins with a greeting and the present sessions and tasks', async () => {
    const bench = await startConsole();
    const stream = await streamOf(bench);
    const sessions = bench.sources.sessions();
    const tasks = bench.sources.tasks();
    await vi.waitFor(() => expect(stream.events).toHaveLength(1 + sessions.length + tasks.length));

    expect(stream.message.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(stream.message.headers['cache-control']).toBe('no-store');
    expect(stream.events[0]).toEqual({
      name: 'hello',
      data: { productVersion: '1.2.3', heartbeatMs: 15_000 },
    });
    expect(stream.events.slice(1)).toEqual([
      ...sessions.map((session) => ({ name: 'session', data: { type: 'session', session } })),
      ...tasks.map((task) => ({ name: 'task', data: { type: 'task', task } })),
    ]);
  });

  it('tells each change to all clients, and each event fits its schema', async () => {
    const bench = await startConsole();
    const streams = [await streamOf(bench), await streamOf(bench, await logIn(bench))];
    for (let step = 0; step < 40; step++) bench.sources.advance();
    await bench.sources.stopRun(bench.sources.sessions().find(({ runId }) => runId)?.runId ?? '');

    for (const stream of streams) {
      await stream.until('job');
      await stream.until('message');
      const sent = stream.events.filter(({ name }) => name !== 'hello');
      expect(new Set(stream.names)).toEqual(
        new Set(['hello', 'session', 'task', 'vm', 'message', 'job']),
      );
      for (const { name, data } of sent) {
        expect(consoleEventSchema.parse(data).type).toBe(name);
      }
    }
    expect(streams[0]?.events).toEqual(streams[1]?.events);
  });

  it('keeps line breaks and all characters inside of its data', async () => {
    const bench = await startConsole();
    const stream = await streamOf(bench);
    const text = 'a\n\nevent: job\r\ndata: {}\u2028\u2029 \u202E 🐘';
    const message = { code: 'JOB-601', level: 'info', text, resolution: 'None.' } as const;
    await stream.until('hello');
    bench.sources.emit({ type: 'message', message });

    expect(await stream.until('message')).toEqual({ type: 'message', message });
    expect(stream.names).not.toContain('job');
  });

  it('has signs of life', async () => {
    const bench = await startConsole({ times: { heartbeatMs: 20 } });
    const stream = await streamOf(bench);

    expect(await stream.until('heartbeat')).toEqual({});
  });

  it('ends when its user logs out, and those of others go on', async () => {
    const bench = await startConsole();
    const headers = await logIn(bench);
    const stream = await streamOf(bench, headers);
    const other = await streamOf(bench, await logIn(bench, 'readOnly'));
    await bench.ask('/api/v1/logout', { method: 'POST', headers });
    await stream.end();
    bench.sources.advance();

    await other.until('session');
    expect(other.isEnded).toBe(false);
    expect(bench.sources.listenerCount).toBe(1);
  });

  it('ends when its login expires, also while nobody does anything but listen', async () => {
    const bench = await startConsole({ times: { heartbeatMs: 20 } });
    const headers = await logIn(bench);
    bench.clock.nowMs += 7 * 3_600_000;
    const stream = await streamOf(bench, headers);
    await stream.until('heartbeat');
    bench.clock.nowMs += 3_600_000;

    await stream.end();
    expect((await bench.ask(EVENTS, { headers })).status).toBe(401);
  });

  it('ends when the console does', async () => {
    const bench = await startConsole();
    const stream = await streamOf(bench);
    await stream.until('hello');
    await bench.close();

    await stream.end();
    expect(bench.sources.listenerCount).toBe(0);
  });

  it('takes nothing when its client has gone', async () => {
    const bench = await startConsole();
    const stream = await streamOf(bench);
    await stream.until('hello');
    expect(bench.sources.listenerCount).toBe(1);
    stream.message.destroy();

    await vi.waitFor(() => expect(bench.sources.listenerCount).toBe(0));
  });

  it('of a client that does not read is cut', async () => {
    const bench = await startConsole();
    const slow = connect(bench.port, '127.0.0.1').pause();
    const isGone = new Promise((resolve) => slow.on('close', resolve).on('error', resolve));
    slow.write(
      `GET ${EVENTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.operator}\r\n\r\n`,
    );
    await vi.waitFor(() => expect(bench.sources.listenerCount).toBe(1));
    const text = 'x'.repeat(256 * 1024);
    const message = { code: 'JOB-601', level: 'info', text, resolution: 'None.' } as const;
    // Buffers of the system take some of it first.
    await vi.waitFor(
      () => {
        bench.sources.emit({ type: 'message', message });
        expect(bench.sources.listenerCount).toBe(0);
      },
      { timeout: 30_000, interval: 1 },
    );

    slow.resume();
    await isGone;
    expect((await bench.ask('/')).status).toBe(200);
    expect(bench.failures).toEqual([]);
  });

  it('of a client that takes nothing for some signs of life is cut', async () => {
    const bench = await startConsole({ times: { heartbeatMs: 20 } });
    const slow = connect(bench.port, '127.0.0.1').pause();
    slow.on('error', () => {});
    slow.write(
      `GET ${EVENTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.operator}\r\n\r\n`,
    );
    await vi.waitFor(() => expect(bench.sources.listenerCount).toBe(1));
    const text = 'x'.repeat(8 * 1024 * 1024);
    const message = { code: 'JOB-601', level: 'info', text, resolution: 'None.' } as const;
    bench.sources.emit({ type: 'message', message });

    await vi.waitFor(() => expect(bench.sources.listenerCount).toBe(0), { timeout: 30_000 });
    slow.destroy();
  });

  it('is one of a limited number', async () => {
    const bench = await startConsole();
    const streams: Stream[] = [];
    for (let count = 0; count < 64; count++) streams.push(await streamOf(bench));
    const refused = await bench.ask(EVENTS, { headers: bearer('operator') });

    expect([refused.status, codeOf(refused)]).toEqual([503, 'API_TOO_MANY_STREAMS']);
    expect(refused.headers['retry-after']).toBe('10');
    expect((await bench.ask('/api/v1/vms', { headers: bearer('operator') })).status).toBe(200);
    streams[0]?.message.destroy();
    await vi.waitFor(async () => {
      const again = await streamOf(bench);
      expect(again.message.statusCode).toBe(200);
    });
  });

  it('that cannot be made does not take the console down', async () => {
    const bench = await startConsole();
    const error = new Error('no sessions');
    vi.spyOn(bench.sources, 'sessions').mockImplementationOnce(() => {
      throw error;
    });
    const answer = await bench.ask(EVENTS, { headers: bearer('operator') });

    expect([answer.status, codeOf(answer)]).toEqual([500, 'INTERNAL_INVARIANT']);
    expect(bench.failures).toEqual([error]);
    expect((await bench.ask('/')).status).toBe(200);
    expect(bench.sources.listenerCount).toBe(0);
  });
});
