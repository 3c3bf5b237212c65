/** Secrets come from credentials of systemd or from private files, and never into an error. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { engineSettings, storeOptionsOf } from '../../../../src/jobs/config/connectionSettings.ts';
import { readSecret } from '../../../../src/jobs/config/secrets.ts';
import type { EngineConfig, RepositoryConfig } from '../../../../src/jobs/jobFile.ts';
import { expectCode } from '../../../helpers/codes.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const temp = useTempFolder();
const CREDENTIAL = 'engine-prod-password';

function fileOf(name: string, content: string, mode = 0o600): string {
  const file = temp.path(name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

function secretOf(name: string): { readonly path: string; readonly credential: string } {
  return { path: temp.path(name), credential: CREDENTIAL };
}

describe('readSecret', () => {
  it('reads the file without its line break', async () => {
    fileOf('pw', 'two words \n');

    expect(await readSecret(secretOf('pw'), {})).toBe('two words ');
  });

  it('takes the credential of its name first', async () => {
    fileOf('pw', 'of the file');
    fileOf(`given/${CREDENTIAL}`, 'of systemd', 0o440);

    const environment = { CREDENTIALS_DIRECTORY: temp.path('given') };
    expect(await readSecret(secretOf('pw'), environment)).toBe('of systemd');
  });

  it('takes the file when systemd has no such credential', async () => {
    fileOf('pw', 'of the file');

    const environment = { CREDENTIALS_DIRECTORY: temp.make('given') };
    expect(await readSecret(secretOf('pw'), environment)).toBe('of the file');
  });

  it.each([0o644, 0o640, 0o660])(
    'refuses a file of mode %o, and tells what to do',
    async (mode) => {
      fileOf('pw', 'hunter2', mode);

      const error = await expectCode(readSecret(secretOf('pw'), {}), 'USAGE_INVALID_OPTION');

      expect(error.hint).toContain(`chmod 600 ${temp.path('pw')}`);
      expect(`${error.message}${error.hint}`).not.toContain('hunter2');
    },
  );
});

describe('engineSettings', () => {
  it('has the password and the CA', async () => {
    fileOf('pw', 'secret\n');
    const caFile = fileOf('ca.pem', 'PEM', 0o644);
    const engine: EngineConfig = {
      name: 'prod',
      url: 'https://engine',
      username: 'admin@internal',
      password: secretOf('pw'),
      caFile,
      parallelVms: undefined,
    };

    expect(await engineSettings(engine)).toEqual({
      url: 'https://engine',
      username: 'admin@internal',
      password: 'secret',
      caPem: 'PEM',
      timings: undefined,
    });
  });
});

describe('storeOptionsOf', () => {
  const repository: RepositoryConfig = {
    name: 'main',
    place: 's3://bucket',
    key: { path: '/etc/key', credential: 'repository-main-key' },
    cache: '/cache',
    immutable: { periodMs: 1, mode: 'compliance' },
    noLock: true,
  };

  it('names the key file, or the credential', () => {
    const given = fileOf('given/repository-main-key', 'key', 0o440);
    const environment = { CREDENTIALS_DIRECTORY: temp.path('given') };

    expect(storeOptionsOf(repository, {}, {}).keyFile).toBe('/etc/key');
    expect(storeOptionsOf(repository, {}, environment).keyFile).toBe(given);
  });

  it('has the other settings, and what the caller adds', () => {
    const { signal } = new AbortController();

    expect(storeOptionsOf(repository, { signal }, {})).toMatchObject({
      cache: '/cache',
      noLock: true,
      immutable: { periodMs: 1, mode: 'compliance' },
      signal,
    });
  });
});
