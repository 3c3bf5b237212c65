/** Phases of image transfers, with a data plane that is slow, busy or broken. */
import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import type { TicketStatus } from '../../../lab/src/dataPlane.ts';
import type { TransferRow } from '../../../lab/src/state/rows.ts';
import { EngineBench } from '../../helpers/lab/engineWithoutNetwork.ts';

const IDLE: TicketStatus = { active: false, idleMs: 0, transferredBytes: 0 };

let bench: EngineBench;

beforeEach(() => {
  vi.useFakeTimers();
  bench = new EngineBench();
});

afterEach(() => {
  bench.close();
  vi.useRealTimers();
});

/** A transfer of the disk of a stopped VM. */
async function open(fields: object = {}): Promise<TransferRow> {
  const vm = bench.addVm({ status: 'down' });
  const { status, json } = await bench.call('POST', '/imagetransfers', {
    disk: { id: vm.disk('root').id },
    direction: 'download',
    format: 'raw',
    ...fields,
  });
  expect(status).toBe(201);
  const transfer = bench.engine.transfers.get(json['id'] as string);
  if (!transfer) throw new Error('no transfer');
  return transfer;
}

async function act(transfer: TransferRow, action: string): Promise<number> {
  return (await bench.call('POST', `/imagetransfers/${transfer.id}/${action}`, {})).status;
}

describe('an imageio that does not answer', () => {
  it('is asked again, and the transfer goes on', async () => {
    const transfer = await open();
    await bench.pass(1.5);
    const ask = vi.spyOn(bench.plane, 'ticketStatus').mockRejectedValue(new Error('refused'));

    await bench.pass(20);
    const asked = ask.mock.calls.length;
    ask.mockRestore();
    bench.plane.status = { ...IDLE, transferredBytes: 5 };
    await bench.pass(10);

    expect(asked).toBeGreaterThan(2);
    expect(transfer).toMatchObject({ phase: 'transferring', transferredBytes: 5 });
  });
});

describe('phases', () => {
  it.each([
    ['finalize', 'download', ['finalizing_success', 'finished_success']],
    [
      'cancel',
      'download',
      ['cancelled_user', 'finalizing_cleanup', 'finished_cleanup', 'finished_failure'],
    ],
    ['finalize', 'upload', ['finalizing_success', 'finished_success']],
  ])('after %s of an %s', async (action, direction, phases) => {
    const transfer = await open({ direction });
    const path = `/imagetransfers/${transfer.id}`;
    expect(await bench.phasesUntil(path, 'transferring')).toEqual(['initializing', 'transferring']);
    expect(await act(transfer, action)).toBe(200);

    expect(await bench.phasesUntil(path, phases.at(-1) ?? '')).toEqual(phases);
  });

  it('of an upload whose image is bad show the disk illegal, then none', async () => {
    const transfer = await open({ direction: 'upload' });
    const path = `/imagetransfers/${transfer.id}`;
    await bench.phasesUntil(path, 'transferring');
    bench.engine.behaviour.uploadVerifyFails = true;
    await act(transfer, 'finalize');

    expect(await bench.phasesUntil(path, 'finalizing_failure')).toEqual([
      'finalizing_success',
      'finalizing_failure',
    ]);
    expect((await bench.get(`/disks/${transfer.diskId}`))['status']).toBe('illegal');
    await bench.phasesUntil(path, 'finished_failure');
    expect(bench.engine.disks.has(transfer.diskId)).toBe(false);
  });

  it('after a lost ticket', async () => {
    const transfer = await open();
    const path = `/imagetransfers/${transfer.id}`;
    await bench.phasesUntil(path, 'transferring');
    bench.plane.tickets.clear();

    expect(await bench.phasesUntil(path, 'finished_failure')).toEqual([
      'transferring',
      'cancelled_system',
      'finalizing_failure',
      'finished_failure',
    ]);
  });

  it('of a paused upload go through resuming to a new ticket', async () => {
    const transfer = await open({ direction: 'upload' });
    const path = `/imagetransfers/${transfer.id}`;
    await bench.phasesUntil(path, 'transferring');
    bench.plane.status = { ...IDLE, idleMs: 60_001 };
    await bench.phasesUntil(path, 'paused_system');
    bench.plane.status = IDLE;
    await act(transfer, 'resume');

    expect(await bench.phasesUntil(path, 'transferring')).toEqual(['resuming', 'transferring']);
    expect(bench.plane.addTicket).toHaveBeenCalledTimes(2);
    expect(bench.engine.log.events.map(({ code }) => code).slice(-2)).toEqual([1071, 1074]);
  });

  it('before and after the ticket show no URLs', async () => {
    const transfer = await open();
    const path = `/imagetransfers/${transfer.id}`;
    const hasUrls = async (): Promise<boolean> => {
      const json = await bench.get(path);
      return 'transfer_url' in json && 'proxy_url' in json;
    };

    expect(await hasUrls()).toBe(false);
    await bench.phasesUntil(path, 'transferring');
    expect(await hasUrls()).toBe(true);
    await act(transfer, 'finalize');
    await bench.pass(0.1);
    expect([await hasUrls(), transfer.phase]).toEqual([false, 'finalizing_success']);
  });
});

describe('the engine', () => {
  it('asks again while operations run on a ticket that it wants to remove', async () => {
    const transfer = await open();
    await bench.pass(2);
    bench.plane.isBusy = true;
    await act(transfer, 'finalize');
    await bench.pass(60);
    expect([transfer.phase, bench.plane.tickets.size]).toEqual(['finalizing_success', 1]);
    expect(transfer.ticketId).toBeDefined();

    bench.plane.isBusy = false;
    await bench.pass(3);
    expect([transfer.phase, bench.plane.tickets.size]).toEqual(['finished_success', 0]);
  });

  it('removes a ticket that comes after the cancellation of its transfer', async () => {
    const gate = new EventEmitter();
    bench.plane.addTicket.mockImplementationOnce(async (ticket) => {
      await once(gate, 'open');
      bench.plane.tickets.set(ticket.id, ticket);
    });
    const transfer = await open();
    await bench.pass(1);
    await act(transfer, 'cancel');
    await bench.pass(5);
    expect(transfer.phase).toBe('finished_failure');
    gate.emit('open');
    await bench.pass(1);

    expect(bench.plane.tickets.size).toBe(0);
    expect([transfer.phase, transfer.ticketId]).toEqual(['finished_failure', undefined]);
  });

  it('fails a transfer whose ticket cannot be added, with event 1068', async () => {
    bench.plane.addTicket.mockRejectedValueOnce(new Error('no'));
    const transfer = await open();
    await bench.pass(10);

    expect(transfer.phase).toBe('finished_failure');
    expect(bench.engine.log.events.map(({ code }) => code)).toContain(1068);
  });

  it('polls less and less often, renews the ticket, and copies its counters', async () => {
    const transfer = await open();
    await bench.pass(1);
    bench.plane.status = { active: true, idleMs: 0, transferredBytes: 4096 };
    await bench.pass(15);

    // After 1, 2, 4 and 8 seconds.
    expect(bench.plane.extended).toHaveLength(4);
    expect(transfer).toMatchObject({ isActive: true, transferredBytes: 4096 });
  });

  it('believes only two polls in a row that a transfer is idle', async () => {
    const transfer = await open();
    await bench.pass(2);
    bench.plane.status = { ...IDLE, idleMs: 60_001 };
    await bench.pass(2);
    bench.plane.status = IDLE;
    await bench.pass(4);
    bench.plane.status = { ...IDLE, idleMs: 60_001 };
    await bench.pass(8);
    expect(transfer.phase).toBe('transferring');
    await bench.pass(20);

    expect(transfer.phase).toBe('finished_failure');
  });

  it('never calls a running operation idle, and no transfer without a timeout', async () => {
    const running = await open();
    bench.plane.status = { active: true, idleMs: 99_999_999, transferredBytes: 0 };
    await bench.pass(300);
    expect(running.phase).toBe('transferring');

    bench.plane.status = IDLE;
    await act(running, 'finalize');
    await bench.pass(5);
    const patient = await open({ disk: { id: running.diskId }, inactivity_timeout: 0 });
    bench.plane.status = { ...IDLE, idleMs: 99_999_999 };
    await bench.pass(300);
    expect(patient.phase).toBe('transferring');
  });

  it('finalizes a download by itself when all is read and nothing runs', async () => {
    const transfer = await open();
    bench.plane.status = { active: true, idleMs: 0, transferredBytes: MIB };
    await bench.pass(30);
    expect(transfer.phase).toBe('transferring');
    bench.plane.status = { ...IDLE, transferredBytes: MIB };
    await bench.pass(30);

    expect(transfer.phase).toBe('finished_success');
  });

  it('leaves an upload that has written everything to its client', async () => {
    const transfer = await open({ direction: 'upload' });
    bench.plane.status = { ...IDLE, transferredBytes: MIB };
    await bench.pass(30);

    expect(transfer.phase).toBe('transferring');
  });

  it('forgets a finished transfer after a quarter of an hour', async () => {
    const transfer = await open();
    await bench.pass(2);
    await act(transfer, 'finalize');
    await bench.pass(2);
    expect(transfer.phase).toBe('finished_success');
    await bench.pass(15 * 60 - 10);
    expect(bench.engine.transfers.size).toBe(1);
    await bench.pass(10);
    expect(bench.engine.transfers.size).toBe(0);
  });

  it('forgets a failed transfer after half an hour', async () => {
    const transfer = await open();
    await act(transfer, 'cancel');
    await bench.pass(15 * 60 + 10);
    expect(bench.engine.transfers.size).toBe(1);
    await bench.pass(15 * 60);
    expect(bench.engine.transfers.size).toBe(0);
  });
});
