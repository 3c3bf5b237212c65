/** Connections to the lab's imageio during removals, restarts and the close. */
import { once } from 'node:events';
import { type Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import { type ImageioAnswer, type ImageioRig, startImageio } from '../helpers/labImageio.ts';
import { labDisk } from '../helpers/labDisks.ts';

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

/** The answers to eight connections and to a ninth. */
async function nineConnections(): Promise<{ others: Agent[]; ninth: Promise<ImageioAnswer> }> {
  await rig.addTicket();
  const others = Array.from({ length: 8 }, () => rig.agent());
  for (const agent of others) await rig.call('t1', { ...FIRST, agent });
  const ninth = rig.call('t1', { ...FIRST, agent: rig.agent() });
  await vi.waitFor(() => expect(rig.imageio.traffic.maxConnections).toBe(9));
  return { others, ninth };
}

describe('the removal of a ticket', () => {
  test('closes idle connections by itself', async () => {
    await rig.addTicket();
    const agent = rig.agent();
    const closed = once(agent, 'disconnect');
    await rig.call('t1', { ...FIRST, agent });
    expect(await rig.imageio.removeTicket('t1')).toBe(true);

    await closed;
  });

  test('stops a running read at its next piece', async () => {
    await addLargeTicket();
    const reader = await rig.stalledRead();
    expect(await rig.imageio.removeTicket('t1')).toBe(false);
    reader.resume();
    await once(reader, 'close');

    expect(await rig.imageio.removeTicket('t1')).toBe(true);
  });
});

describe('a connection', () => {
  test('that is idle for longer than its ticket allows is dropped', async () => {
    await rig.addTicket({ inactivityTimeoutMs: 30 });
    const agent = rig.agent();
    const closed = once(agent, 'disconnect');
    await rig.call('t1', { ...FIRST, agent });
    await closed;

    expect((await rig.call('t1', { ...FIRST, agent })).status).toBe(206);
  });

  test('is not idle while its request waits', async () => {
    await rig.addTicket({ inactivityTimeoutMs: 30 });
    rig.faults.add({ nth: 2 }, { delayMs: 100 });
    await rig.call('t1', FIRST);

    expect((await rig.call('t1', FIRST)).status).toBe(206);
  });

  test('that is the ninth of its ticket is not answered until another one ends', async () => {
    const { others, ninth } = await nineConnections();
    const onAnswer = vi.fn<() => void>();
    const answered = ninth.then(onAnswer);
    await rig.call('t1', { ...FIRST, agent: others[0] });
    expect(onAnswer).not.toHaveBeenCalled();
    await others[1]?.destroy();
    await answered;

    expect((await ninth).status).toBe(206);
  });

  test('that has waited for so long that its ticket is gone is refused', async () => {
    const { others, ninth } = await nineConnections();
    rig.faults.add({ nth: 1 }, { dropTicket: true });
    await rig.call('t1', { ...FIRST, agent: others[0] });
    await others[1]?.destroy();

    expect(await ninth).toMatchObject({ status: 403 });
  });

  test('of another ticket is not among the eight', async () => {
    await rig.addTicket();
    await rig.addTicket({ id: 't2' });
    for (const path of ['t1', 't2']) {
      for (let count = 0; count < 8; count++) {
        expect((await rig.call(path, { ...FIRST, agent: rig.agent() })).status).toBe(206);
      }
    }
  });
});

describe('a restart', () => {
  test('forgets tickets and cuts connections, on the same port', async () => {
    await rig.addTicket();
    const agent = rig.agent();
    const closed = once(agent, 'disconnect');
    await rig.call('t1', { ...FIRST, agent });
    await rig.imageio.restart();
    await closed;

    expect(rig.imageio.ticketIds()).toEqual([]);
    expect((await rig.call('t1', { ...FIRST, agent })).text).toContain('No such ticket');
  });

  test('of one ticket is what the drop of a ticket looks like', async () => {
    await rig.addTicket();
    rig.faults.add({ diskId: 'd1' }, { dropTicket: true });

    expect((await rig.call('t1', FIRST)).text).toBe(`${FORBIDDEN}No such ticket t1`);
  });
});

describe('the close', () => {
  test('ends running answers and frees the ports', async () => {
    await addLargeTicket();
    const reader = await rig.stalledRead();
    const closed = once(reader, 'close');
    await rig.imageio.close();
    reader.resume();
    await closed;

    await expect(
      request(`${rig.imageio.directOrigin}/images/t1`, { dispatcher: rig.agent() }),
    ).rejects.toThrow(/ECONNREFUSED/);
  });
});
