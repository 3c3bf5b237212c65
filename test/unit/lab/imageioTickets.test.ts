import { Socket } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { downloadTarget } from '../../../lab/src/disks/frozenView.ts';
import { TicketState } from '../../../lab/src/imageio/tickets.ts';
import { labDisk } from '../../helpers/lab/labDisks.ts';

const LIFE_MS = 300_000;

let state: TicketState;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const target = downloadTarget('d1', labDisk().freeze());
  const ticket = { id: 't', transferId: 'tr', dirty: false, inactivityTimeoutMs: 60_000 };
  state = new TicketState({ ...ticket, target, mode: 'read' }, LIFE_MS);
});

afterEach(() => {
  vi.useRealTimers();
});

test('a ticket expires when its life is over without use', () => {
  vi.advanceTimersByTime(LIFE_MS);
  state.assertAllows('read');
  vi.advanceTimersByTime(1);

  expect(() => state.assertAllows('read')).toThrow('Transfer=tr expired');
});

test.each([
  ['a touch', () => state.touch(), 0],
  ['the end of an operation', () => state.begin(new Socket()).end(0, 1), 0],
  ['the engine', () => state.extend(), LIFE_MS - 1],
])('its life is renewed by %s', (_, renew, idleMs) => {
  vi.advanceTimersByTime(LIFE_MS - 1);
  renew();
  expect(state.status().idleMs).toBe(idleMs);
  vi.advanceTimersByTime(LIFE_MS);

  expect(() => state.assertAllows('read')).not.toThrow();
});

test('a ticket is active until the last of its operations ends', () => {
  const [one, other] = [state.begin(new Socket()), state.begin(new Socket())];
  vi.advanceTimersByTime(10);
  one.end(0, 10);
  expect(state.status()).toEqual({ active: true, idleMs: 0, transferredBytes: 10 });
  other.end(5, 10);
  vi.advanceTimersByTime(7);

  expect(state.status()).toEqual({ active: false, idleMs: 7, transferredBytes: 15 });
});
