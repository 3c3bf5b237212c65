/** Sources of the connection settings of the command line, and errors of wrong ones. */
import { writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { createLabAuthority } from '../../lab/src/http/certificates.ts';
import { expectFailure, type RunningCli, startCli } from '../helpers/cli/cli.ts';
import { loginsOf, useCliLab } from '../helpers/cli/cliLab.ts';

const MIB = 1024 * 1024;
/** Nobody listens on port 1. */
const NOBODY = 'https://127.0.0.1:1/ovirt-engine';

const bench = useCliLab();
beforeEach(() => {
  bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: MIB }] });
});

/** The environment without variables of the caller's shell. */
const BARE = {
  OVIRT_URL: undefined,
  OVIRT_USERNAME: undefined,
  OVIRT_PASSWORD: undefined,
  OVIRT_PASSWORD_FILE: undefined,
  OVIRT_CAFILE: undefined,
  OVIRT_CONFIG: undefined,
};

const GOOD = { exitCode: 0, stderr: expect.stringMatching(/^info: REPO-531 .+\n$/) as string };

function preflight(...more: readonly string[]): string[] {
  return bench.vmArgs('preflight', 'web01', ...more);
}

function configFile(content: Readonly<Record<string, string>>): string {
  const file = bench.temp.path('config.json');
  writeFileSync(file, JSON.stringify(content));
  return file;
}

describe('connection settings', () => {
  it('come from the environment, the password itself too', async () => {
    const { OVIRT_PASSWORD_FILE: _, ...env } = bench.env();

    const result = await bench.run(preflight(), { ...env, OVIRT_PASSWORD: bench.lab.password });

    expect(result).toMatchObject(GOOD);
  });

  it('come from flags', async () => {
    const { url, username } = bench.lab;
    const flags = ['--url', url, '--username', username].concat(
      ['--password-file', bench.passwordFile],
      ['--ca-file', bench.caFile],
    );

    expect(await bench.run(preflight(...flags), BARE)).toMatchObject(GOOD);
  });

  it('come from a configuration file', async () => {
    const { url, username } = bench.lab;
    const { passwordFile, caFile } = bench;
    const file = configFile({ url, username, passwordFile, caFile });

    const result = await bench.run(preflight('--config', file), BARE);

    expect(result).toMatchObject(GOOD);
  });

  it('of flags win over the environment, and that over the file', async () => {
    const { url, username } = bench.lab;
    const file = configFile({ url: NOBODY, username: 'nobody', caFile: bench.caFile });
    const { passwordFile } = bench;
    const env = { ...BARE, OVIRT_URL: NOBODY, OVIRT_USERNAME: username, OVIRT_CONFIG: file };

    const result = await bench.run(preflight('--url', url, '--password-file', passwordFile), env);

    expect(result).toMatchObject(GOOD);
  });

  it.each([
    ['no engine', { OVIRT_URL: undefined }],
    ['an engine without TLS', { OVIRT_URL: 'http://127.0.0.1/ovirt-engine' }],
    ['a CA file that holds no certificate', { OVIRT_CAFILE: 'package.json' }],
    ['a configuration file that is none', { OVIRT_CONFIG: 'README.md' }],
  ])('are refused: %s', async (_what, wrong) => {
    const result = await bench.run(preflight(), { ...BARE, ...bench.env(), ...wrong });

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(bench.lab.requests).toEqual([]);
  });

  it('never repeat a password that stands in the URL', async () => {
    const { url } = bench.lab;
    const withPassword = url.replace('https://', 'https://admin:hunter2@');

    const result = await bench.run(preflight(), { ...bench.env(), OVIRT_URL: withPassword });

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).not.toContain('hunter2');
  });
});

describe('a login that fails', () => {
  /** The login is tried for half a minute. Other tests run in the meantime. */
  let unreachable: RunningCli;
  beforeEach(() => {
    // The files of the first test are gone before the login ends, so none are used.
    const login = { OVIRT_USERNAME: bench.lab.username, OVIRT_PASSWORD: 'never sent' };
    const env = { ...BARE, ...login, OVIRT_URL: NOBODY };
    unreachable ??= startCli(bench.backupArgs(['web01']), env);
  });

  it.each([
    ['backup', () => bench.backupArgs(['web01', 'db01'])],
    ['preflight', () => preflight()],
    [
      'cleanup',
      async () => {
        await bench.backup(bench.lab.vm('web01'));
        return bench.vmArgs('cleanup', 'web01');
      },
    ],
  ])('for its password ends %s with 12 after a single try', async (_command, args) => {
    writeFileSync(bench.passwordFile, 'wrong');
    const ready = await args();
    const before = loginsOf(bench.lab.requests).length;

    const result = await bench.run(ready);

    expectFailure(result, 'ENGINE_AUTH_REFUSED', EXIT_CODES.authRefused);
    expect(loginsOf(bench.lab.requests)).toHaveLength(before + 1);
    expect(result.stderr).not.toContain('wrong');
  });

  it('for a certificate of another CA ends with 14 and sends no password', async () => {
    writeFileSync(bench.caFile, createLabAuthority().caPem);

    const result = await bench.run(bench.backupArgs(['web01']));

    expectFailure(result, 'ENGINE_TLS_UNTRUSTED', EXIT_CODES.unreachable);
    expect(bench.lab.requests).toEqual([]);
  });

  it('for a certificate of an internal CA that was not given ends with 14', async () => {
    const env = { ...bench.env(), OVIRT_CAFILE: undefined };

    const result = await bench.run(bench.backupArgs(['web01']), env);

    expectFailure(result, 'ENGINE_TLS_UNTRUSTED', EXIT_CODES.unreachable);
    expect(bench.lab.requests).toEqual([]);
  });

  it('for an engine that does not run ends with 14', async () => {
    const { stderr, ...result } = await unreachable.ended;
    const failure = stderr.replaceAll(/^waiting: the engine does not answer .*\n/gm, '');
    expect(failure).not.toBe(stderr);
    expectFailure({ ...result, stderr: failure }, 'ENGINE_UNREACHABLE', EXIT_CODES.unreachable);
  });
});
