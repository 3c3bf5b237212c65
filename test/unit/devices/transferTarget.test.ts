import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { CancelledError, TransferError } from '../../../src/core/errors.ts';
import { TransferTarget } from '../../../src/devices/transferTarget.ts';
import { connect } from '../../../src/flow/connect.ts';
import type { DataBlock } from '../../../src/flow/records.ts';
import { createSlab, type SlabLease } from '../../../src/flow/slab.ts';
import type { ImageioClient } from '../../../src/ovirt/imageio/imageioClient.ts';
import type { DiskTransfer } from '../../../src/ovirt/lifecycle/transfer.ts';
import { sourceOf, dataBlock } from '../../helpers/pipeline/records.ts';
import { PICTURE_BLOCK_BYTES, blockContent } from '../../helpers/pipeline/diskPicture.ts';
import { expectCode } from '../../helpers/codes.ts';

const CONNECTIONS = 3;

/** A transfer without an engine. Each write takes as long as the test wants. */
class FakeTransfer {
  readonly requests: string[] = [];
  inFlightCount = 0;
  mostInFlight = 0;
  onWrite: (block: number, signal: AbortSignal) => Promise<void> = async () => {};
  readonly client: ImageioClient;

  constructor() {
    const client = {
      features: new Set(),
      connections: CONNECTIONS,
      write: (_bytes: Uint8Array, offsetBytes: number, { signal }: { signal: AbortSignal }) =>
        this.#request(`write ${offsetBytes / PICTURE_BLOCK_BYTES}`, () =>
          this.onWrite(offsetBytes / PICTURE_BLOCK_BYTES, signal),
        ),
      zero: (offsetBytes: number, lengthBytes: number) =>
        this.#request(
          `zero ${offsetBytes / PICTURE_BLOCK_BYTES}+${lengthBytes / PICTURE_BLOCK_BYTES}`,
        ),
      flush: () => this.#request('flush'),
    };
    this.client = client as unknown as ImageioClient;
  }

  async use<T>(work: (client: ImageioClient) => Promise<T>): Promise<T> {
    return await work(this.client);
  }

  async #request(name: string, work: () => Promise<void> = async () => {}): Promise<void> {
    this.requests.push(name);
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlightCount);
    try {
      await work();
    } finally {
      this.inFlightCount--;
    }
  }
}

class Upload {
  readonly transfer = new FakeTransfer();
  readonly controller = new AbortController();
  readonly slab = createSlab({
    blockSizeBytes: PICTURE_BLOCK_BYTES,
    slabBytes: 40 * PICTURE_BLOCK_BYTES,
  });
  readonly lease: SlabLease = this.slab.lease('unpack');
  readonly target: TransferTarget;

  constructor(mustZero = false) {
    this.target = new TransferTarget({
      transfer: this.transfer as unknown as DiskTransfer,
      diskId: 'disk-1',
      alias: 'data',
      virtualSizeBytes: 20 * PICTURE_BLOCK_BYTES,
      mustZero,
      retryDelayMs: 1,
      signal: this.controller.signal,
      note: () => {},
    });
  }

  async send(indexes: readonly number[]): Promise<void> {
    const { lease, target, controller } = this;
    async function* blocks(): AsyncGenerator<DataBlock> {
      for (const index of indexes) yield await dataBlock(lease, index, blockContent('A'));
    }
    const { signal } = controller;
    await connect(sourceOf(blocks()), [], target.sink(), { signal });
  }
}

function refused(): TransferError {
  return new TransferError('TRANSFER_WRITE_FAILED', 'refused', { hint: '' });
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

describe('an upload', () => {
  test('has one request per connection in flight', async () => {
    const upload = new Upload();
    const { transfer, target } = upload;
    transfer.onWrite = (block) => delay((block * 7) % 5);

    await upload.send(Array.from({ length: 20 }, (_, index) => index));

    expect(transfer.mostInFlight).toBe(CONNECTIONS);
    expect([target.stats.blocks, target.stats.bytes]).toEqual([20, 20 * PICTURE_BLOCK_BYTES]);
    expect(upload.lease.end()).toBe(0);
  });

  test('uses a connection again while an older request is slow', async () => {
    const upload = new Upload();
    let endFirst: (() => void) | undefined;
    upload.transfer.onWrite = (block) =>
      block === 0 ? new Promise((resolve) => (endFirst = resolve)) : Promise.resolve();

    const done = upload.send([0, 1, 2, 3, 4, 5]);
    await turns();
    const sent = upload.transfer.requests.length;
    endFirst?.();
    await done;

    expect(sent).toBe(6);
  });

  test('zeroes each gap before the block after it, and the tail before the flush', async () => {
    const upload = new Upload(true);

    await upload.send([2, 3, 6]);
    await upload.target.finish();

    const { requests } = upload.transfer;
    expect(requests.toSorted()).toEqual(
      ['zero 0+2', 'write 2', 'write 3', 'zero 4+2', 'write 6', 'zero 7+13', 'flush'].toSorted(),
    );
    expect(requests.indexOf('zero 0+2')).toBeLessThan(requests.indexOf('write 2'));
    expect(requests.indexOf('zero 4+2')).toBeLessThan(requests.indexOf('write 6'));
    expect(requests.slice(-2)).toEqual(['zero 7+13', 'flush']);
    expect(upload.target.zeroedBytes).toBe(17 * PICTURE_BLOCK_BYTES);
  });

  test('that fails waits for the other requests, whose slots are released then', async () => {
    const upload = new Upload();
    const { transfer } = upload;
    let endOthers: (() => void) | undefined;
    const others = new Promise<void>((resolve) => (endOthers = resolve));
    let isOver = false;
    transfer.onWrite = async (block) => {
      if (block === 1) throw refused();
      await others;
    };

    const failed = expectCode(upload.send([0, 1, 2, 3]), 'TRANSFER_WRITE_FAILED').finally(() => {
      isOver = true;
    });
    await turns();
    const early = [isOver, transfer.inFlightCount];
    endOthers?.();
    await failed;

    expect(early).toEqual([false, 2]);
    expect(transfer.requests).toEqual(['write 0', 'write 1', 'write 2']);
    expect(transfer.inFlightCount).toBe(0);
  });

  test('that fails stops the other requests, and keeps its own error', async () => {
    const upload = new Upload();
    const { transfer, controller } = upload;
    transfer.onWrite = async (block, signal) => {
      if (block === 1) throw refused();
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    };

    await expectCode(upload.send([0, 1, 2, 3]), 'TRANSFER_WRITE_FAILED');

    expect(controller.signal.aborted).toBe(false);
    expect(transfer.inFlightCount).toBe(0);
    expect(upload.slab.inUseCount).toBe(upload.lease.end());
  });

  test('that fails releases the slots of all its requests by itself', async () => {
    const { transfer, target, lease, slab } = new Upload();
    transfer.onWrite = async () => {
      await turns();
      throw refused();
    };
    const sink = target.sink();
    const closed = new Promise((resolve) => sink.once('close', resolve));
    sink.on('error', () => {});

    for (const index of [0, 1, 2]) sink.write(await dataBlock(lease, index, blockContent('A')));
    const inUse = slab.inUseCount;
    await closed;

    expect([inUse, slab.inUseCount]).toEqual([3, 0]);
  });

  test('that is aborted waits for the requests in flight', async () => {
    const upload = new Upload();
    const { transfer, controller } = upload;
    transfer.onWrite = async (_block, signal) => {
      await delay(60_000, undefined, { signal }).catch(() => {});
      // A request that was aborted takes a moment to let go of its bytes.
      await turns();
      signal.throwIfAborted();
    };

    const failed = expectCode(upload.send([0, 1, 2, 3]), 'CANCELLED');
    await turns();
    controller.abort(new CancelledError('CANCELLED', 'stop'));
    await failed;

    expect(transfer.inFlightCount).toBe(0);
    expect(transfer.requests).toEqual(['write 0', 'write 1', 'write 2']);
  });
});
