/** The start of a transfer: an answer that is ready already is taken, another one is asked for. */
import { describe, expect, test, vi } from 'vitest';
import { silentLogger } from '../../../src/core/log.ts';
import type { EngineApi } from '../../../src/ovirt/engine/engineApi.ts';
import type { ImageTransfer } from '../../../src/ovirt/engine/entities.ts';
import { waitTransferring } from '../../../src/ovirt/lifecycle/transferStart.ts';
import { scaleTimings } from '../../../src/ovirt/timings.ts';
import { expectCode } from '../../helpers/codes.ts';

const READY: ImageTransfer = {
  id: 't1',
  phase: 'transferring',
  direction: 'download',
  diskId: 'd1',
  hostId: 'h1',
  transferUrl: 'https://host:54322/images/secret',
  proxyUrl: undefined,
};
const STARTING: ImageTransfer = { ...READY, phase: 'initializing', transferUrl: undefined };

function waiting(answers: readonly ImageTransfer[]) {
  const left = [...answers];
  const transfer = vi.fn(() => Promise.resolve(left.shift()));
  const engine = { timings: scaleTimings(0.001), transfer } as unknown as EngineApi;
  const options = {
    engine,
    diskId: 'd1',
    alias: 'sys',
    direction: 'download',
    connections: 1,
    journal: () => Promise.resolve(),
    note: () => {},
    log: silentLogger,
    signal: new AbortController().signal,
  } as const;
  return { options, transfer };
}

describe('waitTransferring', () => {
  test('takes an answer with a URL without asking', async () => {
    const { options, transfer } = waiting([]);

    expect(await waitTransferring(options, READY)).toBe(READY);
    expect(transfer).not.toHaveBeenCalled();
  });

  test('asks until there is a URL', async () => {
    const { options, transfer } = waiting([STARTING, READY]);

    expect(await waitTransferring(options, STARTING)).toEqual(READY);
    expect(transfer).toHaveBeenCalledTimes(2);
  });

  test('refuses an answer for another disk, and one that is over', async () => {
    const { options } = waiting([]);

    for (const wrong of [{ diskId: 'd2' }, { phase: 'cancelled_system' }]) {
      await expectCode(waitTransferring(options, { ...READY, ...wrong }), 'TRANSFER_NOT_READY');
    }
  });
});
