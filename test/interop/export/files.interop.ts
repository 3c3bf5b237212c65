/** The command `files` with the real guestfish and its appliance. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import { composeAll, rot } from '../../helpers/faults/bitRot.ts';
import { addRow } from '../environment.ts';
import { DATA_DISK, GUEST_NAME, type GuestChain, makeGuestChain, ROOT_DISK } from './guestDisks.ts';

const COMMAND = path.resolve(import.meta.dirname, '../../../dist/cli/launch.cjs');
/** Emulation is slow on a machine with other work. */
const TIMEOUT_MS = 300_000;

let folder = '';
let chain: GuestChain;
let rows: (readonly [scenario: string, details: string])[] = [];

interface Listed {
  readonly entries: readonly { readonly path: string; readonly sizeBytes: number }[];
}

function argsOf(...more: readonly string[]): string[] {
  return [COMMAND, 'files', '--repo', chain.repository, '--vm', GUEST_NAME, ...more];
}

/** Temporary files of the command and of its appliance. */
function temporary(): string {
  return path.join(folder, 'tmp');
}

function files(...args: readonly string[]): {
  status: number | null;
  stdout: string;
  stderr: string;
} {
  const env = { ...process.env, TMPDIR: temporary() };
  const result = spawnSync(process.execPath, argsOf(...args), { encoding: 'utf8', env });
  expect(readdirSync(temporary())).toEqual([]);
  return result;
}

function listed(...args: readonly string[]): Map<string, number> {
  const { status, stdout, stderr } = files(...args, '--json');
  expect(status, stderr).toBe(EXIT_CODES.done);
  const { entries } = JSON.parse(stdout) as Listed;
  return new Map(entries.map((entry) => [entry.path, entry.sizeBytes]));
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  chain = await makeGuestChain(folder);
  mkdirSync(temporary());
}, TIMEOUT_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

afterEach(({ task }) => {
  for (const [scenario, details] of rows) {
    addRow('guestfish', scenario, task.result?.state !== 'fail', details);
  }
  rows = [];
});

describe('files of a guest', { timeout: TIMEOUT_MS }, () => {
  it('are copied from its file systems, mounted as its fstab says', () => {
    const output = path.join(folder, 'got');
    const wanted = ['/home', '/etc/token', '/srv/big', '/srv/small'];

    const { status, stderr } = files('--point', '1', 'get', ...wanted, '--output', output);

    expect(stderr).not.toContain('error:');
    expect(status).toBe(EXIT_CODES.done);
    const names = readdirSync(path.join(chain.tree, 'home')).filter((name) => name !== 'link');
    for (const name of names.map((one) => `home/${one}`)) {
      expect(sameBytes(path.join(output, name), path.join(chain.tree, name)), name).toBe(true);
    }
    expect(sameBytes(path.join(output, 'token'), path.join(chain.tree, 'etc/token'))).toBe(true);
    for (const name of ['big', 'small']) {
      const source = path.join(folder, `xfs-${name}`);
      expect(sameBytes(path.join(output, name), source), name).toBe(true);
    }
    rows.push([
      'files get: ext4 root and xfs on /srv of a full',
      `${names.length + 3} files equal`,
    ]);
  });

  it('are listed from a file system that is chosen, with any name', () => {
    const home = listed('--point', '1', '--filesystem', '/dev/sda', 'ls', '/home');

    const names = readdirSync(path.join(chain.tree, 'home'));
    expect([...home.keys()]).toEqual(names.map((name) => `/home/${name}`).toSorted());
    expect(home.get('/home/noise')).toBe(readFileSync(path.join(chain.tree, 'home/noise')).length);
    rows.push(['files ls: ext4 of a full', `${home.size} names`]);
  });

  it('are found on a disk without a system', () => {
    const found = listed('--disk', DATA_DISK, 'find', '*m*');

    expect([...found.keys()]).toEqual(['/more', '/small']);
    rows.push(['files find: xfs of an increment', '']);
  });

  it('are an error where a block is damaged, and nothing is left', async () => {
    const damaged = path.join(folder, 'damaged');
    cpSync(chain.repository, damaged, { recursive: true });
    const [name = ''] = readdirSync(damaged).filter((one) => one.startsWith(GUEST_NAME));
    const vmFolder = path.join(damaged, name);
    const { points, places, stored } = await composeAll(vmFolder);
    // Folders lie in the first blocks. The noise of the large file fills the next ones.
    const ofNoise = places
      .filter(({ alias, pointId }) => alias === ROOT_DISK && pointId === points[0]?.pointId)
      .slice(6, 12);
    rot(
      vmFolder,
      ofNoise.flatMap(({ stored: key }) => stored.get(key) ?? []),
      1,
    );
    const output = path.join(folder, 'damaged-got');
    const args = [
      '--repo',
      damaged,
      '--vm',
      GUEST_NAME,
      '--point',
      '1',
      '--filesystem',
      '/dev/sda',
    ];

    const command = [COMMAND, 'files', ...args, 'get', '/home', '--output', output];
    const { stderr, status } = spawnSync(process.execPath, command, { encoding: 'utf8' });

    expect(stderr).toMatch(/error: root: .*stored block/);
    expect(stderr).toContain('INTEGRITY_DAMAGE_FOUND');
    expect(status).toBe(EXIT_CODES.damageFound);
    expect(readdirSync(output)).toEqual([]);
    rows.push(['files get: a damaged block', 'an error, nothing left']);
  });

  it('end with their appliance after Ctrl-C', async () => {
    const env = { ...process.env, TMPDIR: temporary() };
    const child = spawn(process.execPath, argsOf('ls'), {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const closed = once(child, 'close');
    await once(child.stderr, 'data');
    while (!appliances().some((line) => line.includes(temporary()))) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }

    child.kill('SIGINT');
    const [exitCode] = (await closed) as [number];

    expect(exitCode).toBe(EXIT_CODES.interrupted);
    expect(readdirSync(temporary())).toEqual([]);
    expect(appliances().filter((line) => line.includes(temporary()))).toEqual([]);
    rows.push(['files: Ctrl-C while the appliance starts', 'nothing left']);
  });
});

/** Command lines of the QEMUs that run. */
function appliances(): string[] {
  const { stdout } = spawnSync('pgrep', ['-af', 'qemu-system'], { encoding: 'utf8' });
  return stdout.split('\n');
}

function sameBytes(a: string, b: string): boolean {
  return readFileSync(a).equals(readFileSync(b));
}
