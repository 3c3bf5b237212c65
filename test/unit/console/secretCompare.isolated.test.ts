/** Secrets are compared by `timingSafeEqual`. The module of Node is replaced by one that counts. */
import * as crypto from 'node:crypto';
import { beforeEach, expect, it, vi } from 'vitest';
import { isSameSecret, Logins } from '../../../src/console/access/logins.ts';
import { bearer, logIn, startConsole } from '../../helpers/console/consoleBench.ts';

vi.mock('node:crypto', async (importOriginal) => {
  const original = await importOriginal<typeof crypto>();
  return { ...original, timingSafeEqual: vi.fn(original.timingSafeEqual) };
});

const compared = vi.mocked(crypto.timingSafeEqual);

beforeEach(() => void compared.mockClear());

it('of any length have the same length when they are compared', () => {
  for (const [one, other] of [
    ['a', 'a'],
    ['a', 'b'],
    ['', 'a'.repeat(5000)],
  ] as const) {
    expect(isSameSecret(one, other)).toBe(one === other);
  }

  const lengths = compared.mock.calls.flatMap(([a, b]) => [a.byteLength, b.byteLength]);
  expect(lengths).toEqual(Array(6).fill(32));
});

it('a token is compared with those of both roles, whichever fits', () => {
  const tokens = { operator: 'o'.repeat(20), readOnly: 'r'.repeat(20) };
  const logins = new Logins({ tokens, idleMs: 1, nowMs: () => 0 });
  for (const token of [tokens.operator, tokens.readOnly, 'wrong', '']) {
    compared.mockClear();
    logins.roleOf(token);
    expect(compared).toHaveBeenCalledTimes(2);
  }
});

it('the server compares bearer tokens, tokens of logins and CSRF tokens so', async () => {
  const bench = await startConsole();
  await bench.ask('/api/v1/me', { headers: bearer('operator') });
  expect(compared).toHaveBeenCalledTimes(2);
  const headers = await logIn(bench);
  expect(compared).toHaveBeenCalledTimes(4);
  await bench.ask('/api/v1/logout', { method: 'POST', headers });
  expect(compared).toHaveBeenCalledTimes(5);
});
