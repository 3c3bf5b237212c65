/**
 * Connection settings: flags first, then environment, then a file. Secrets only in private files.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { type EngineFlags, readEngineSettings } from '../../../src/cli/flags/engineFlags.ts';
import { isPrivateFile } from '../../../src/store/privateFile.ts';
import { expectCode } from '../../helpers/codes.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

function fileOf(name: string, content: string, mode = 0o600): string {
  const file = temp.path(name);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

function configOf(content: object): string {
  return fileOf('config.json', JSON.stringify(content));
}

const refused = (flags: EngineFlags, env: NodeJS.ProcessEnv = {}): Promise<unknown> =>
  expectCode(readEngineSettings(flags, env), 'USAGE_INVALID_OPTION');

/** The same setting by flag, by variable and in the file, with three different values. */
let flags: EngineFlags;
let environment: NodeJS.ProcessEnv;
beforeEach(() => {
  flags = {
    url: 'https://flag',
    username: 'flag',
    passwordFile: fileOf('flag', 'of the flag'),
    caFile: fileOf('flag.pem', 'CA of the flag'),
  };
  environment = {
    OVIRT_URL: 'https://environment',
    OVIRT_USERNAME: 'environment',
    OVIRT_PASSWORD_FILE: fileOf('environment', 'of the environment'),
    OVIRT_CAFILE: fileOf('environment.pem', 'CA of the environment'),
    OVIRT_CONFIG: configOf({
      url: 'https://file',
      username: 'file',
      passwordFile: fileOf('file', 'of the file'),
      caFile: fileOf('file.pem', 'CA of the file'),
    }),
  };
});

describe('readEngineSettings', () => {
  test('says of a CA bundle that only the CA of the engine is wanted', async () => {
    const caFile = fileOf('bundle.pem', 'x'.repeat(200 * 1024));

    await expect(readEngineSettings({ ...flags, caFile })).rejects.toMatchObject({
      message: expect.stringContaining('is too large') as string,
      hint: expect.stringContaining('not the bundle of the system') as string,
    });
  });

  test('takes flags before everything else', async () => {
    expect(await readEngineSettings(flags, environment)).toEqual({
      url: 'https://flag',
      username: 'flag',
      password: 'of the flag',
      caPem: 'CA of the flag',
    });
  });

  test('takes the environment before the file', async () => {
    expect(await readEngineSettings({}, environment)).toEqual({
      url: 'https://environment',
      username: 'environment',
      password: 'of the environment',
      caPem: 'CA of the environment',
    });
  });

  test('takes the file last', async () => {
    const { OVIRT_CONFIG } = environment;

    expect(await readEngineSettings({}, { OVIRT_CONFIG })).toEqual({
      url: 'https://file',
      username: 'file',
      password: 'of the file',
      caPem: 'CA of the file',
    });
  });

  test('takes a configuration file of a flag before that of the environment', async () => {
    const config = fileOf('other.json', '{"url":"https://other","username":"me"}');
    const env = { OVIRT_CONFIG: environment['OVIRT_CONFIG'], OVIRT_PASSWORD: 'secret' };

    expect((await readEngineSettings({ config }, env)).url).toBe('https://other');
  });

  test('merges what each of them gives', async () => {
    const { url } = flags;
    const { OVIRT_USERNAME, OVIRT_CONFIG } = environment;

    expect(await readEngineSettings({ url }, { OVIRT_USERNAME, OVIRT_CONFIG })).toMatchObject({
      url: 'https://flag',
      username: 'environment',
      password: 'of the file',
    });
  });

  test('takes the password itself from the environment only', async () => {
    const { OVIRT_CONFIG } = environment;
    const env = { OVIRT_CONFIG, OVIRT_PASSWORD: 'secret ' };

    expect((await readEngineSettings({}, env)).password).toBe('secret ');
  });

  test('takes a password file of the environment before the password there', async () => {
    const env = { ...environment, OVIRT_PASSWORD: 'secret' };

    expect((await readEngineSettings({}, env)).password).toBe('of the environment');
  });

  test('has no CA unless one is given', async () => {
    const { caFile: _, ...others } = flags;
    const settings = await readEngineSettings(others, {});

    expect(settings.caPem).toBeUndefined();
  });

  test('refuses to go on without an engine', async () => {
    await refused({ username: 'me' });
  });
});

async function passwordOf(passwordFile: string): Promise<string> {
  return (await readEngineSettings({ ...flags, passwordFile }, {})).password;
}

describe('a password file', () => {
  test.each([
    ['as an editor leaves it', 'secret\n', 'secret'],
    ['as Windows leaves it', 'secret\r\n', 'secret'],
    ['without an end of line', 'secret', 'secret'],
    ['with blanks that belong to the password', ' se cret \n', ' se cret '],
    ['with an empty line, which belongs to the password', 'secret\n\n', 'secret\n'],
    ['in another alphabet', 'пароль-密码\n', 'пароль-密码'],
  ])('is read %s', async (_how, content, password) => {
    expect(await passwordOf(fileOf('p', content))).toBe(password);
  });

  test.each(['644', '640', '604', '660', '620', '601'])('with mode %s is refused', async (mode) => {
    const passwordFile = fileOf('p', 'secret', Number.parseInt(mode, 8));

    await refused({ ...flags, passwordFile });
  });

  test.each(['600', '400'])('with mode %s is accepted', async (mode) => {
    const file = fileOf('p', 'secret', Number.parseInt(mode, 8));

    expect(await passwordOf(file)).toBe('secret');
  });

  test('of the environment is held to the same', async () => {
    await refused(flags.url ? { url: flags.url } : {}, {
      OVIRT_PASSWORD_FILE: fileOf('p', 'secret', 0o644),
    });
  });

  test('of a configuration file is held to the same', async () => {
    const passwordFile = fileOf('p', 'secret', 0o644);

    await refused({ config: configOf({ url: 'https://file', passwordFile }) });
  });

  test('never shows up in the error about it', async () => {
    const passwordFile = fileOf('p', 'of a test', 0o644);

    const error = await expectCode(
      readEngineSettings({ ...flags, passwordFile }, {}),
      'USAGE_INVALID_OPTION',
    );

    const text = `${error.message}${error.hint}${JSON.stringify(error.details)}`;
    expect(text).not.toContain('of a test');
  });

  test('that does not exist is refused', async () => {
    await refused({ ...flags, passwordFile: temp.path('none') });
  });

  test('that is a folder is refused', async () => {
    await refused({ ...flags, passwordFile: temp.make('folder') });
  });

  test('that is far too large is refused', async () => {
    await refused({ ...flags, passwordFile: fileOf('p', 'x'.repeat(65 * 1024)) });
  });
});

describe('a secret that was mounted', () => {
  test.each(['444', '440', '400'])('with mode %s is accepted', async (mode) => {
    const file = fileOf('p', 'secret', Number.parseInt(mode, 8));

    expect(await passwordOf(file)).toBe('secret');
  });

  test.each([
    ['of root', 0o444, 0, true],
    ['of this user', 0o440, 1000, true],
    ['of somebody else', 0o444, 33, false],
    ['of root that its owner can write', 0o644, 0, false],
    ['of root that others can write', 0o446, 0, false],
    ['of root that can be executed', 0o555, 0, false],
    ['of this user that nobody else may read', 0o600, 1000, true],
  ])('%s', (_what, mode, uid, isAccepted) => {
    expect(isPrivateFile({ mode: 0o100000 | mode, uid }, 1000)).toBe(isAccepted);
  });

  test('the error says what works there', async () => {
    const refusal = readEngineSettings({ ...flags, passwordFile: fileOf('p', 'x', 0o644) }, {});

    await expect(refusal).rejects.toMatchObject({
      hint: expect.stringMatching(/0400, 0440 or 0444/) as string,
    });
  });
});

describe('a byte order mark', () => {
  test('is no part of a password', async () => {
    expect(await passwordOf(fileOf('p', '\uFEFFsecret\r\n'))).toBe('secret');
  });

  test('is no part of a configuration file', async () => {
    const { passwordFile = '' } = flags;
    const content = { url: 'https://file', username: 'file', passwordFile };
    const config = fileOf('bom.json', `\uFEFF${JSON.stringify(content)}`);

    expect((await readEngineSettings({ config }, {})).url).toBe('https://file');
  });

  test.each([
    ['with its mark', '\uFEFFsecret'],
    ['without one', 'secret'],
  ])('of UTF-16, %s, is refused', async (_what, text) => {
    const passwordFile = temp.path('utf16');
    writeFileSync(passwordFile, Buffer.from(text, 'utf16le'), { mode: 0o600 });

    const error = await expectCode(
      readEngineSettings({ ...flags, passwordFile }, {}),
      'USAGE_INVALID_OPTION',
    );

    expect(`${error.message} ${error.hint}`).toMatch(/UTF-16.*save it as UTF-8/);
  });
});

describe('missing settings', () => {
  test('are named all at once', async () => {
    const error = await expectCode(readEngineSettings({}, {}), 'USAGE_INVALID_OPTION');

    const text = `${error.message} ${error.hint}`;
    for (const name of ['URL', 'USERNAME', 'PASSWORD_FILE', 'CAFILE']) {
      expect(text).toContain(`OVIRT_${name}`);
    }
  });

  test('are named without those that are given', async () => {
    const { caFile: _, username: __, ...others } = flags;

    const error = await expectCode(readEngineSettings(others, {}), 'USAGE_INVALID_OPTION');

    expect(error.message).toBe('connection settings are missing: --username or OVIRT_USERNAME');
  });
});

describe('a CA file', () => {
  test('may be read by everybody', async () => {
    const caFile = fileOf('ca.pem', 'PEM', 0o644);

    expect((await readEngineSettings({ ...flags, caFile }, {})).caPem).toBe('PEM');
  });

  test('that does not exist is refused', async () => {
    await refused({ ...flags, caFile: temp.path('none') });
  });
});

describe('a configuration file', () => {
  test.each([
    ['with a password', { url: 'https://file', password: 'secret' }],
    ['with a key that is not known', { url: 'https://file', insecure: true }],
    ['with a number for a name', { url: 'https://file', username: 5 }],
    ['that is a list', []],
  ])('%s is refused', async (_what, content) => {
    await refused({ config: configOf(content) });
  });

  test('that is no JSON is refused', async () => {
    await refused({ config: fileOf('config.json', 'url = https://file') });
  });

  test('with a password is refused without repeating it', async () => {
    const config = configOf({ url: 'https://file', password: 'hunter2' });

    const error = await expectCode(readEngineSettings({ config }, {}), 'USAGE_INVALID_OPTION');

    expect(`${error.message}${error.hint}`).not.toContain('hunter2');
  });

  test('that does not exist is refused', async () => {
    await refused({ config: temp.path('none') });
  });
});
