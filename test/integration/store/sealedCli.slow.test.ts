/** A sealed repository on the command line: backup, restore, keys, and what a stranger sees. */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { generateIdentity, identityToRecipient, armor, Decrypter } from 'age-encryption';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import type { KeysReport } from '../../../src/sessions/keys/repositoryKeys.ts';
import { sha256 } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { backupArgs, expectFailure, runCli } from '../../helpers/cli/cli.ts';
import { VM } from '../../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const CONTENT = Buffer.concat([Buffer.from('words of the guest '.repeat(5000)), noise(1, 300_000)]);

function keyFile(name: string, text: string): string {
  const file = temp.path(name);
  writeFileSync(file, text);
  chmodSync(file, 0o600);
  return file;
}

/** All files below a folder by path. */
function filesBelow(folder: string): Map<string, Buffer> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return new Map(
    files.map(({ parentPath, name }) => {
      const file = path.join(parentPath, name);
      return [file, readFileSync(file)];
    }),
  );
}

function hashesBelow(folder: string): string[] {
  return Array.from(filesBelow(folder), ([file, bytes]) => `${file} ${sha256(bytes)}`);
}

interface Scene {
  readonly repository: string;
  readonly image: string;
  readonly key: string;
}

async function sealedBackup(): Promise<Scene> {
  const [repository, image] = [temp.path('repository'), temp.path('disk.raw')];
  writeFileSync(image, CONTENT);
  const key = keyFile('key', 'a passphrase of the backup machine\n');
  const made = await runCli(backupArgs(repository, image, '--key-file', key, '--workers', '0'));
  expect(made.exitCode, made.stderr).toBe(EXIT_CODES.done);
  return { repository, image, key };
}

async function keys(scene: Scene, action: string, ...more: string[]): Promise<KeysReport> {
  const args = ['key', action, '--repo', scene.repository, '--json', ...more];
  const result = await runCli(
    more.includes('--key-file') ? args : [...args, '--key-file', scene.key],
  );
  expect(result.stderr).toBe('');
  return JSON.parse(result.stdout) as KeysReport;
}

async function restored(scene: Scene, key: string, name: string): Promise<Buffer> {
  const output = temp.path(name);
  const args = ['restore', '--repo', scene.repository, '--vm', VM, '--output', output];
  const result = await runCli([...args, '--workers', '0'], { OVIRT_CBT_KEY_FILE: key });
  expect(result.exitCode, result.stderr).toBe(EXIT_CODES.done);
  const [file = Buffer.alloc(0)] = filesBelow(output).values();
  return file;
}

describe('a sealed repository', () => {
  it('shows none of its contents, and is restored with its key', async () => {
    const scene = await sealedBackup();
    const repository = filesBelow(scene.repository);

    for (const [file, bytes] of repository) {
      expect(bytes.includes('words of the guest'), file).toBe(false);
    }
    expect((await restored(scene, scene.key, 'out')).equals(CONTENT)).toBe(true);
  });

  it('is refused without a key and with a wrong one, and nothing is written', async () => {
    const scene = await sealedBackup();
    const before = hashesBelow(scene.repository);
    const wrong = keyFile('wrong', 'another passphrase');
    const list = ['list', '--repo', scene.repository];
    const backup = backupArgs(scene.repository, scene.image, '--workers', '0');

    for (const args of [list, backup, ['key', 'list', '--repo', scene.repository]]) {
      expectFailure(await runCli(args), 'REPOSITORY_KEY_MISSING', EXIT_CODES.authRefused);
      const tried = await runCli([...args, '--key-file', wrong]);
      expectFailure(tried, 'REPOSITORY_KEY_WRONG', EXIT_CODES.authRefused);
    }
    expect(hashesBelow(scene.repository)).toEqual(before);
  });

  it('gets a passphrase, a recipient and a new key; each of them restores', async () => {
    const scene = await sealedBackup();
    const other = keyFile('other', 'a passphrase in a safe');
    const identity = await generateIdentity();
    const recipient = await identityToRecipient(identity);
    const added = await keys(scene, 'add', '--new-key-file', other, '--recipient', recipient);
    expect(added.slots.map(({ type }) => type)).toEqual(['passphrase', 'passphrase', 'recipient']);

    const rotated = await keys(scene, 'rotate', '--new-key-file', other);
    expect(rotated.keys).toHaveLength(2);
    const image = Buffer.concat([CONTENT, noise(2, 70_000)]);
    writeFileSync(scene.image, image);
    const more = backupArgs(scene.repository, scene.image, '--key-file', other, '--workers', '0');
    expect((await runCli(more)).exitCode).toBe(EXIT_CODES.done);

    const decrypter = new Decrypter();
    decrypter.addIdentity(identity);
    const file = path.join(scene.repository, rotated.slots[2]?.recoveryFile ?? '');
    const text = await decrypter.decrypt(armor.decode(readFileSync(file, 'utf8')), 'text');
    const recovery = keyFile('recovery', text);
    expect((await restored(scene, recovery, 'out1')).equals(image)).toBe(true);

    const slot = rotated.slots[0]?.id ?? '';
    const left = await keys(scene, 'remove', '--slot', slot, '--key-file', other);
    expect(left.slots).toHaveLength(2);
    const refused = await runCli(['list', '--repo', scene.repository, '--key-file', scene.key]);
    expectFailure(refused, 'REPOSITORY_KEY_WRONG', EXIT_CODES.authRefused);
    expect((await restored(scene, other, 'out2')).equals(image)).toBe(true);
  });

  it('is made with a generated key; a passphrase is added; both restore', async () => {
    const [repository, image] = [temp.path('repository'), temp.path('disk.raw')];
    const key = temp.path('new.key');
    const made = await runCli(['key', 'new', key, '--json']);
    expect(made.exitCode, made.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(made.stdout)).toEqual({ type: 'keyFile', file: key });
    const text = readFileSync(key, 'utf8');
    expect(text).toMatch(/^ovirt-cbt-key-1:[\w-]{43}\n$/);
    expect(statSync(key).mode & 0o777).toBe(0o600);
    const again = await runCli(['key', 'new', key]);
    expectFailure(again, 'USAGE_OUTPUT_EXISTS', EXIT_CODES.usage);
    expect(readFileSync(key, 'utf8')).toBe(text);

    writeFileSync(image, CONTENT);
    const backup = await runCli(backupArgs(repository, image, '--key-file', key, '--workers', '0'));
    expect(backup.exitCode, backup.stderr).toBe(EXIT_CODES.done);
    const scene = { repository, image, key };
    const phrase = keyFile('phrase', 'a passphrase in a safe');
    const added = await keys(scene, 'add', '--new-key-file', phrase);
    expect(added.slots.map(({ type }) => type)).toEqual(['generated', 'passphrase']);
    expect((await keys(scene, 'rotate', '--new-key-file', phrase)).keys).toHaveLength(2);
    expect((await restored(scene, key, 'out1')).equals(CONTENT)).toBe(true);
    expect((await restored(scene, phrase, 'out2')).equals(CONTENT)).toBe(true);
    const secret = text.slice('ovirt-cbt-key-1:'.length).trim();
    const shown = [made, again, backup].map(({ stdout, stderr }) => stdout + stderr).join('');
    expect(shown).not.toContain(secret);
    for (const bytes of filesBelow(repository).values()) {
      expect(bytes.includes(secret)).toBe(false);
    }

    const other = temp.path('other.key');
    await runCli(['key', 'new', other]);
    const refused = await runCli(['list', '--repo', repository, '--key-file', other]);
    expectFailure(refused, 'REPOSITORY_KEY_WRONG', EXIT_CODES.authRefused);
    const cut = await runCli(['list', '--repo', repository], {
      OVIRT_CBT_KEY_FILE: keyFile('cut', text.slice(0, 30)),
    });
    expectFailure(cut, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });

  it.each([
    [['key', 'new']],
    [['key', 'new', 'none/key']],
    [['key', 'new', 'key', '--slot', '12345678']],
    [['key', 'list']],
    [['key', 'list', 'key', '--repo', 'none']],
  ])('refuses %j', async (args) => {
    expectFailure(await runCli(args), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });

  it('lists its keys as a table', async () => {
    const scene = await sealedBackup();
    const { keys: known, slots } = await keys(scene, 'list');
    const args = ['key', 'list', '--repo', scene.repository, '--key-file', scene.key];
    const { stdout } = await runCli(args);

    expect(stdout).toContain(known[0]?.id);
    expect(stdout).toContain('seals new files');
    expect(stdout).toMatch(new RegExp(`${slots[0]?.id} +passphrase`));
  });

  it.each([
    [['list', '--slot', '12345678']],
    [['add']],
    [['remove']],
    [['rotate', '--recipient', 'age1x']],
    [['burn']],
    [['remove', '--slot', '12345678', '--recipient', 'age1x']],
  ])('refuses options that do not fit: key %j', async (args) => {
    const more = ['--repo', temp.path('none'), '--key-file', keyFile('key', 'a passphrase')];

    expectFailure(
      await runCli(['key', ...args, ...more]),
      'USAGE_INVALID_OPTION',
      EXIT_CODES.usage,
    );
  });

  it('has keys only when it is sealed', async () => {
    const [repository, image] = [temp.path('plain'), temp.path('disk.raw')];
    writeFileSync(image, CONTENT);
    await runCli(backupArgs(repository, image, '--workers', '0'));
    const more = ['--key-file', keyFile('key', 'a passphrase')];
    const result = await runCli(['key', 'list', '--repo', repository, ...more]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    const missing = await runCli(['key', 'list', '--repo', temp.path('none'), ...more]);
    expectFailure(missing, 'REPOSITORY_NOT_FOUND', EXIT_CODES.repositoryNotFound);
  });
});
