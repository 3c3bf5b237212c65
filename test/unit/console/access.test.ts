/** Logins of browsers, and the slow-down of wrong tokens, by a clock of their own. */
import { describe, expect, it } from 'vitest';
import { FailedLogins } from '../../../src/console/access/failedLogins.ts';
import { Logins, tokenLogin } from '../../../src/console/access/logins.ts';

const IDLE_MS = 1000;
const TOKENS = { operator: 'o'.repeat(20), readOnly: 'r'.repeat(20) };

function made(): { readonly logins: Logins; readonly clock: { nowMs: number } } {
  const clock = { nowMs: 0 };
  const options = { tokens: TOKENS, idleMs: IDLE_MS, nowMs: () => clock.nowMs };
  return { logins: new Logins(options), clock };
}

function failed(
  count: number,
  address: string,
): { failures: FailedLogins; clock: { nowMs: number } } {
  const clock = { nowMs: 0 };
  const failures = new FailedLogins(() => clock.nowMs);
  for (let tries = 0; tries < count; tries++) failures.add(address);
  return { failures, clock };
}

describe('logins', () => {
  it('know the role of a token', () => {
    const { logins } = made();

    expect(logins.roleOf(TOKENS.operator)).toBe('operator');
    expect(logins.roleOf(TOKENS.readOnly)).toBe('readOnly');
    for (const token of ['', 'o', `${TOKENS.operator} `, TOKENS.operator.toUpperCase()]) {
      expect(logins.roleOf(token)).toBeUndefined();
    }
  });

  it('never take an empty token for that of a role that has none', () => {
    const logins = new Logins({
      tokens: { readOnly: TOKENS.readOnly },
      idleMs: IDLE_MS,
      nowMs: Date.now,
    });

    expect(logins.roleOf('')).toBeUndefined();
  });

  it('end when they are not used', () => {
    const { logins, clock } = made();
    const { login, cookie } = logins.open('operator');
    clock.nowMs = IDLE_MS - 1;
    expect(logins.find(cookie, true)).toBe(login);
    clock.nowMs += IDLE_MS - 1;
    expect(logins.find(cookie, false)).toBe(login);
    clock.nowMs += 1;

    expect(logins.find(cookie, true)).toBeUndefined();
    expect(logins.isOpen(login)).toBe(false);
  });

  it('end when they are closed', () => {
    const { logins } = made();
    const { login, cookie } = logins.open('operator');
    logins.close(login);

    expect(logins.find(cookie, true)).toBeUndefined();
    expect(logins.isOpen(login)).toBe(false);
  });

  it('of programs, which show their token each time, do not end', () => {
    expect(made().logins.isOpen(tokenLogin('readOnly'))).toBe(true);
  });

  it('are limited: the one that was unused for longest ends', () => {
    const { logins } = made();
    const first = logins.open('operator').cookie;
    const second = logins.open('operator').cookie;
    for (let count = 2; count < 1000; count++) logins.open('operator');
    logins.find(first, true);
    expect(logins.find(second, false)).toBeDefined();
    logins.open('operator');

    expect(logins.find(first, true)).toBeDefined();
    expect(logins.find(second, true)).toBeUndefined();
  });

  it('of operators are not ended by those of others', () => {
    const { logins } = made();
    const { cookie } = logins.open('operator');
    for (let count = 0; count < 2000; count++) logins.open('readOnly');

    expect(logins.find(cookie, true)).toBeDefined();
  });

  it('have cookies and CSRF tokens of their own', () => {
    const { logins } = made();
    const opened = Array.from({ length: 50 }, () => logins.open('operator'));
    const texts = opened.flatMap(({ login, cookie }) => [login.csrfToken, cookie, login.key]);

    expect(new Set(texts).size).toBe(texts.length);
    expect(texts.every((text) => /^[\w-]{43}$/.test(text))).toBe(true);
  });
});

describe('wrong tokens', () => {
  it('may be ten at once, and then one a second', () => {
    const { failures, clock } = failed(9, '192.0.2.1');
    expect(failures.waitSeconds('192.0.2.1')).toBe(0);
    failures.add('192.0.2.1');
    expect(failures.waitSeconds('192.0.2.1')).toBe(1);
    for (let tries = 0; tries < 20; tries++) {
      clock.nowMs += 999;
      expect(failures.waitSeconds('192.0.2.1')).toBe(1);
      clock.nowMs += 1;
      expect(failures.waitSeconds('192.0.2.1')).toBe(0);
      failures.add('192.0.2.1');
    }
    clock.nowMs += 3_600_000;
    expect(failures.waitSeconds('192.0.2.1')).toBe(0);
  });

  it('of one address do not stop others', () => {
    expect(failed(10, '192.0.2.1').failures.waitSeconds('192.0.2.2')).toBe(0);
    expect(failed(10, '::1').failures.waitSeconds('::ffff:192.0.2.2')).toBe(0);
  });

  it('count for the whole network of an IPv6 address', () => {
    const { failures } = failed(10, '2001:db8:1:2:3:4:5:6');

    expect(failures.waitSeconds('2001:db8:1:2::7')).toBe(1);
    expect(failures.waitSeconds('2001:db8:1:3::7')).toBe(0);
  });

  it.each([
    ['fe80::1', 'fe80::a:b:c:d', 'fe80:1::1'],
    ['2001:db8::1:2:3:4', '2001:db8::', '2001:db8:0:1::1'],
    ['2001:db8::2:0:0:1', '2001:db8:0:0:2::2', '2001:db8:2::1'],
  ])('count for a network with zeros in its name: %s', (one, same, other) => {
    const { failures } = failed(10, one);

    expect(failures.waitSeconds(same)).toBe(1);
    expect(failures.waitSeconds(other)).toBe(0);
  });

  it('are remembered of a limited number of addresses', () => {
    const { failures } = failed(10, 'first');
    for (let count = 0; count < 4095; count++) failures.add(`address ${count}`);
    expect(failures.waitSeconds('first')).toBe(1);
    failures.add('one more');

    expect(failures.waitSeconds('first')).toBe(0);
  });
});
