/** Settings of a connection are checked before anything is sent. Errors never hold a secret. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../../src/core/errors.ts';
import { type EngineSettings, resolveSettings } from '../../../src/ovirt/connection.ts';
import { DEFAULT_TIMINGS } from '../../../src/ovirt/timings.ts';
import { expectCodeSync } from '../../helpers/errors.ts';

const SECRET = 'hunter2-canary';
const GOOD: EngineSettings = {
  url: 'https://engine.example/ovirt-engine',
  username: 'admin@internal',
  password: SECRET,
};
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

describe('the URL of an engine', () => {
  it.each([
    ['https://engine.example/ovirt-engine', 'https://engine.example', '/ovirt-engine'],
    ['https://engine.example/ovirt-engine/', 'https://engine.example', '/ovirt-engine'],
    ['https://engine.example/ovirt-engine/api', 'https://engine.example', '/ovirt-engine'],
    ['https://engine.example/ovirt-engine/api/', 'https://engine.example', '/ovirt-engine'],
    ['https://engine.example', 'https://engine.example', '/ovirt-engine'],
    ['https://engine.example/api', 'https://engine.example', '/ovirt-engine'],
    ['https://10.0.0.1:8443/other-path', 'https://10.0.0.1:8443', '/other-path'],
  ])('%s is understood', (url, origin, basePath) => {
    const resolved = resolveSettings({ ...GOOD, url });

    expect(resolved).toMatchObject({ origin, basePath, timings: DEFAULT_TIMINGS });
  });

  it.each([
    ['without TLS', 'http://engine.example/ovirt-engine'],
    ['of another protocol', 'ftp://engine.example/'],
    ['of a file', 'file:///etc/passwd'],
    ['that is none', 'engine.example'],
    ['that is empty', ''],
    ['with a user name', 'https://admin@engine.example/ovirt-engine'],
    ['with a password', `https://admin:${SECRET}@engine.example/ovirt-engine`],
    ['with a password that breaks it', `https://admin:${SECRET}@:x/`],
  ])('%s is refused without being repeated', (_what, url) => {
    const error = expectCodeSync(() => resolveSettings({ ...GOOD, url }), 'USAGE_INVALID_OPTION');

    expect(exitCodeOf(error)).toBe(2);
    expect(JSON.stringify([error.message, error.hint, error.details])).not.toContain(SECRET);
    expect(String((error as Error).stack)).not.toContain(SECRET);
  });
});

describe('credentials', () => {
  it.each([{ username: '' }, { password: '' }])('are required: %j', (missing) => {
    const settings = { ...GOOD, ...missing };

    expectCodeSync(() => resolveSettings(settings), 'USAGE_INVALID_OPTION');
  });
});

describe('the CA', () => {
  it.each([undefined, PEM, `# the engine's CA\n${PEM}${PEM}`])('may be %j', (caPem) => {
    const resolved = resolveSettings({ ...GOOD, caPem });

    expect(resolved.caPem).toBe(caPem);
  });

  it.each([
    ['an empty file', ''],
    ['a page of a login form', '<html>Login</html>'],
    ['a private key', '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n'],
    ['a certificate that is cut', '-----BEGIN CERTIFICATE-----\nMIIB'],
    ['binary DER', '0\u0082\u0003'],
  ])('may not be %s', (_what, caPem) => {
    expectCodeSync(() => resolveSettings({ ...GOOD, caPem }), 'USAGE_INVALID_OPTION');
  });
});
