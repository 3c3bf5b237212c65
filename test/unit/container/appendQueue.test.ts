import { describe, expect, it } from 'vitest';
import { AppendQueue } from '../../../src/container/write/appendQueue.ts';
import { createStageStats } from '../../../src/core/stats.ts';
import { expectCode } from '../../helpers/errors.ts';
import { MemoryStorage } from '../../helpers/memoryStorage.ts';
import { RepositoryError } from '../../../src/core/errors.ts';

/** A storage whose writes end one by one, when the test tells them to. */
class SteppedStorage extends MemoryStorage {
  readonly #steps: (() => void)[] = [];
  failsNext = false;

  override async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    await new Promise<void>((resolve) => this.#steps.push(resolve));
    if (this.failsNext) throw new RepositoryError('REPOSITORY_FULL', 'write: no space left');
    await super.write(pieces, offsetBytes);
  }

  async step(): Promise<void> {
    this.#steps.shift()?.();
    await new Promise(setImmediate);
  }
}

function queueOver(storage: MemoryStorage): AppendQueue {
  return new AppendQueue(storage, 0, createStageStats());
}

describe('an append queue', () => {
  it('writes pieces one behind the other, whatever came first', async () => {
    const storage = new MemoryStorage();
    const queue = queueOver(storage);

    for (const letter of 'abcdefgh') queue.push(Buffer.from(letter), () => {});
    await queue.drain();

    expect(storage.content.toString()).toBe('abcdefgh');
  });

  it('drains what was queued before, not what others queue meanwhile', async () => {
    const storage = new SteppedStorage();
    const queue = queueOver(storage);
    let isDrained = false;
    queue.push(Buffer.from('mine'), () => {});
    const drained = queue.drain().then(() => (isDrained = true));
    for (let k = 0; k < 5; k++) queue.push(Buffer.from('other'), () => {});

    await storage.step();

    await drained;
    expect(isDrained).toBe(true);
    for (let k = 0; k < 5; k++) await storage.step();
    await queue.settle();
  });

  it('gives every piece back after a failed write, and says why', async () => {
    const storage = new SteppedStorage();
    const queue = queueOver(storage);
    let backCount = 0;
    for (let k = 0; k < 4; k++) queue.push(Buffer.alloc(1), () => backCount++);
    storage.failsNext = true;

    const drained = expectCode(queue.drain(), 'REPOSITORY_FULL');
    for (let k = 0; k < 4; k++) await storage.step();

    await drained;
    expect(backCount).toBe(4);
  });

  it('syncs beside the writes, and waits for that at the end', async () => {
    const storage = new MemoryStorage();
    const queue = queueOver(storage);

    for (let k = 0; k < 3; k++) queue.push(Buffer.alloc(40 * 1024 * 1024), () => {});
    await queue.settle();

    expect(storage.events.filter((event) => event.kind === 'sync').length).toBeGreaterThan(0);
  });
});
