/** The login at an SSO with every kind of answer. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../../src/core/errors.ts';
import type { LabAction } from '../../../lab/src/index.ts';
import { EngineApi } from '../../../src/ovirt/engine/engineApi.ts';
import { PATHS, statuses } from '../../helpers/engineFaults.ts';
import { expectCode } from '../../helpers/errors.ts';
import { useLab } from '../../helpers/lab.ts';

const bench = useLab();

function answerLogin(action: LabAction, times = 1000): void {
  bench.lab.faults.add({ path: PATHS.token, nth: 1, times }, action);
}

async function connectAndClose(): Promise<void> {
  const engine = await EngineApi.connect(bench.settings());
  await engine.close();
}

function logins(): number[] {
  return statuses(bench.lab, 'POST', PATHS.token);
}

describe('a refusal', () => {
  it.each([
    ['of the app scope', 400, { error_code: 'access_denied', error: 'Cannot authenticate user' }],
    ['of another scope', 400, { error: 'invalid_grant', error_description: 'no' }],
    ['in a list', 400, [{ error_code: 'access_denied', error: 'no' }]],
    ['with status 200', 200, { error_code: 'access_denied', error: 'no' }],
    ['with a token beside it', 200, { access_token: 'x', error: 'access_denied' }],
    ['of the request', 400, { error_code: 'invalid_request', error: 'no' }],
  ])('%s is an error, after one attempt', async (_kind, status, body) => {
    answerLogin({ status, body });

    const error = await expectCode(connectAndClose(), 'ENGINE_AUTH_REFUSED');

    expect(exitCodeOf(error)).toBe(12);
    expect(logins()).toEqual([status]);
  });

  it('does not repeat what the server says, which may repeat what was sent', async () => {
    const { lab } = bench;
    const echo = `user admin password ${lab.password}`;
    answerLogin({ status: 400, body: { error: echo, error_code: echo } });

    const error = await expectCode(connectAndClose(), 'ENGINE_AUTH_REFUSED');

    const shown = JSON.stringify([error.message, error.hint, error.details, error.stack]);
    expect(shown).not.toContain(lab.password);
  });
});

describe('an answer that is no login', () => {
  it.each([
    ['a page', { status: 200, body: '<html>Welcome</html>' }],
    ['nothing', { status: 200, body: '' }],
    ['no token', { status: 200, body: { scope: 'ovirt-app-api' } }],
    ['an empty token', { status: 200, body: { access_token: '' } }],
    ['not found', { status: 404, body: '<html>Not Found</html>' }],
  ])('(%s) says that this is no engine, after one attempt', async (_what, action) => {
    answerLogin(action);

    await expectCode(connectAndClose(), 'ENGINE_BAD_ANSWER');

    expect(logins()).toHaveLength(1);
  });
});

describe('an SSO', () => {
  it('that wraps its answer in a list is understood', async () => {
    const { lab } = bench;
    answerLogin({ status: 200, body: [{ access_token: 'x', exp: '9223372036854775807' }] });

    await connectAndClose();

    expect(logins()).toEqual([200]);
    expect(statuses(lab, 'POST', PATHS.logout)).toEqual([200]);
  });

  it('that fails once by itself is asked once more', async () => {
    answerLogin({ status: 400, body: { error_code: 'server_error', error: 'no' } }, 1);

    await connectAndClose();

    expect(logins()).toEqual([400, 200]);
  });

  it('that keeps failing by itself is asked no third time', async () => {
    answerLogin({ status: 400, body: { error_code: 'server_error', error: 'no' } });

    const error = await expectCode(connectAndClose(), 'ENGINE_UNREACHABLE');

    expect(exitCodeOf(error)).toBe(14);
    expect(logins()).toEqual([400, 400]);
  });
});

describe('a certificate', () => {
  it('of a CA that was not given is refused, with nothing sent', async () => {
    const { caPem: _unused, ...settings } = bench.settings();

    const error = await expectCode(EngineApi.connect(settings), 'ENGINE_TLS_UNTRUSTED');

    expect(exitCodeOf(error)).toBe(14);
    expect(bench.lab.requests).toEqual([]);
  });
});

describe('a token', () => {
  it('is not missed at the end when the engine has gone', async () => {
    const engine = await EngineApi.connect(bench.settings({ connectMs: 10_000 }));
    bench.lab.faults.add({ path: PATHS.logout }, { reset: true });

    await engine.close();

    expect(statuses(bench.lab, 'POST', PATHS.logout)).toEqual([0]);
  });
});
