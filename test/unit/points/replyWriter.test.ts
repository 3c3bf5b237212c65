/** Clients that read no replies: when they are broken off, and when not. */
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ReplyWriter } from '../../../src/points/nbd/replyWriter.ts';
import { ConnectionEnded } from '../../../src/points/nbd/socketReader.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const LARGE = Buffer.alloc(4 * 1024 * 1024, 'x');

describe('a client that reads nothing', () => {
  const folder = useTempFolder();
  let client: Socket;
  let served: Socket;

  beforeEach(async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(folder.path('s'), resolve));
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    client = connect(folder.path('s')).on('error', () => {});
    served = (await accepted).on('error', () => {});
    server.close();
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
    client.destroy();
    served.destroy();
  });

  it('is broken off after two minutes', async () => {
    const writing = new ReplyWriter(served, () => false).write(LARGE);
    const ended = expect(writing).rejects.toThrow(ConnectionEnded);
    await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(118_000);
    expect(served.destroyed).toBe(false);
    vi.advanceTimersByTime(4000);

    expect(served.destroyed).toBe(true);
    await ended;
  });

  it('is broken off after ten seconds while others wait for its memory', async () => {
    let isContended = false;
    const writing = new ReplyWriter(served, () => isContended).write(LARGE);
    const ended = expect(writing).rejects.toThrow(ConnectionEnded);
    await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(30_000);
    expect(served.destroyed).toBe(false);
    isContended = true;
    vi.advanceTimersByTime(2000);

    expect(served.destroyed).toBe(true);
    await ended;
  });

  it('and reads later gets everything', async () => {
    const writing = new ReplyWriter(served, () => true).write(LARGE, LARGE);
    await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(8000);
    let receivedBytes = 0;
    const done = new Promise<void>((resolve) =>
      client.on('data', ({ length }) => {
        receivedBytes += length;
        if (receivedBytes === 2 * LARGE.length) resolve();
      }),
    );
    await writing;
    await done;
    vi.advanceTimersByTime(300_000);

    expect(served.destroyed).toBe(false);
  });
});
